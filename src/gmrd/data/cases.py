"""Which files of a data root belong to which case."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gmrd.data.protocol import numeric_key
from gmrd.errors import InputError

CASE = "{case}"


@dataclass(frozen=True)
class Case:
    """The files of one case. ``label`` is None for cases that only train."""

    case_id: str
    image: Path
    label: Path | None
    pseudo_label: Path


@dataclass(frozen=True)
class Layout:
    """Patterns of a data set's files, relative to its root; ``{case}`` is the case id.

    The field's layout is ``chaos_MR_T2_normalized/image_{case}.nii.gz`` with ``label_{case}``
    beside it and ``supervoxels_5000/superpix-MIDDLE_{case}.nii.gz``.
    """

    images: str
    labels: str | None
    pseudo_labels: str

    def __post_init__(self) -> None:
        for pattern in (self.images, self.labels, self.pseudo_labels):
            if pattern is not None and pattern.count(CASE) != 1:
                raise InputError(f"the file pattern {pattern!r} must hold {CASE} exactly once")


def find_cases(
    root: Path,
    layout: Layout,
    *,
    computed_root: Path | None = None,
    exclude: Sequence[str | int] = (),
    n_cases: int | None = None,
    how_to_get: str = "",
) -> list[Case]:
    """The cases below ``root``, sorted numerically by id.

    Args:
        root: Folder of the data set.
        layout: File patterns below it.
        computed_root: Where supervoxels missing in ``root`` are written; ``root`` by default.
        exclude: Ids to leave out.
        n_cases: How many of the first cases to keep; all by default.
        how_to_get: Sentence on where the data comes from, for the error.

    Raises:
        InputError: If the root, an image or a label is missing.
    """
    kept = select_cases(list(image_paths(root, layout, how_to_get)), exclude, n_cases)
    if layout.labels:
        _refuse_missing_labels(root, layout, kept)
    return [_case(root, layout, case_id, computed_root or root) for case_id in kept]


def image_paths(root: Path, layout: Layout, how_to_get: str = "") -> dict[str, Path]:
    """The image of every case, by case id in numeric order; refuses a root without any."""
    found = case_paths(root, layout.images)
    if not found:
        reason = "does not exist" if not root.is_dir() else "holds no such file"
        hint = _other_extension(root, layout.images)
        raise InputError(
            f"no images found: {root / layout.images} {reason}. {hint}Set data.root to the folder "
            f"that holds {layout.images}. {how_to_get}".strip()
        )
    return found


def _case(root: Path, layout: Layout, case_id: str, computed_root: Path) -> Case:
    pseudo_label = layout.pseudo_labels.replace(CASE, case_id)
    held = (root / pseudo_label).is_file()
    return Case(
        case_id=case_id,
        image=root / layout.images.replace(CASE, case_id),
        label=root / layout.labels.replace(CASE, case_id) if layout.labels else None,
        pseudo_label=(root if held else computed_root) / pseudo_label,
    )


def swap_extension(name: str) -> str:
    """``x.nii`` for ``x.nii.gz`` and vice versa; other names unchanged."""
    if name.endswith(".nii.gz"):
        return name.removesuffix(".gz")
    return f"{name}.gz" if name.endswith(".nii") else name


def _other_extension(root: Path, pattern: str) -> str:
    other = swap_extension(pattern)
    found = len(case_paths(root, other)) if other != pattern else 0
    return f"There are {found} of {other}: add \"data.images='{other}'\". " if found else ""


def case_paths(root: Path, pattern: str) -> dict[str, Path]:
    """All files or folders in ``root`` that match the pattern, by case id, in numeric order.

    Hidden ones are skipped: other systems or killed programs leave them behind.

    Raises:
        InputError: the pattern is an absolute path.
    """
    if Path(pattern).is_absolute():
        raise InputError(f"the file pattern {pattern!r} must be relative to its folder, {root}")
    head, tail = pattern.split(CASE)
    regex = re.compile(f"{re.escape(head)}([^/]+){re.escape(tail)}")
    found = {
        match.group(1): path
        for path in root.glob(f"{glob.escape(head)}*{glob.escape(tail)}")
        if (match := regex.fullmatch(path.relative_to(root).as_posix()))
        and not path.name.startswith(".")
    }
    return {case_id: found[case_id] for case_id in sorted(found, key=numeric_key)}


def select_cases(found: list[str], exclude: Sequence[str | int], n_cases: int | None) -> list[str]:
    """The first ``n_cases`` of the cases found that are not excluded; refuses unknown ids."""
    unknown = sorted({str(case) for case in exclude} - set(found))
    if unknown:
        raise InputError(f"data.exclude names cases that do not exist: {unknown}; found {found}")
    kept = [case for case in found if case not in {str(c) for c in exclude}]
    if n_cases is not None and not 1 <= n_cases <= len(kept):
        raise InputError(f"data.n_cases={n_cases} is not between 1 and the {len(kept)} cases found")
    return kept[:n_cases]


def _refuse_missing_labels(root: Path, layout: Layout, case_ids: list[str]) -> None:
    assert layout.labels is not None
    missing = [c for c in case_ids if not (root / layout.labels.replace(CASE, c)).is_file()]
    if missing:
        raise InputError(
            f"no label for case {', '.join(missing)}: expected "
            f"{root / layout.labels.replace(CASE, missing[0])}. Add it, leave the case out with "
            f"data.exclude=[{','.join(missing)}], or set data.labels=null to train without labels"
        )
