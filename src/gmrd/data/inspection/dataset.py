"""Checks that compare the cases of a data set."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from gmrd.data.cases import CASE, Case, Layout, case_paths, image_paths, swap_extension
from gmrd.data.description import DatasetDescription
from gmrd.data.inspection.case import CaseInspection
from gmrd.data.inspection.findings import Finding, Portrait
from gmrd.errors import InputError
from gmrd.io.json_file import read_json
from gmrd.processes import as_worker

MAX_SPACING_RATIO = 1.5
"""A larger ratio of two cases' voxel sizes gives a warning."""

TURNED = 50.0
"""Degrees between two volumes' axes from which a permutation or a flip may bring them nearer."""

OBLIQUE = 25.0
"""Degrees from which there is a note."""


def inspect_cases(
    data: DatasetDescription, *, min_area: float, n_jobs: int = 1
) -> Iterator[Portrait]:
    """Inspect the cases one by one, including those without a label.

    Raises:
        InputError: If there is no image at all.
    """
    cases = _all_cases(data)
    inspections = [
        CaseInspection(case, data.classes, data.label_values, data.supervoxels, min_area)
        for case in cases
    ]
    calls = (delayed(as_worker)(os.getpid(), inspection.run) for inspection in inspections)
    yield from Parallel(n_jobs=n_jobs, return_as="generator")(calls)


def count_cases(data: DatasetDescription) -> int:
    """The number of cases to inspect."""
    return len(case_paths(data.root, data.layout.images))


def _all_cases(data: DatasetDescription) -> list[Case]:
    """All cases, whether or not their labels exist: a missing label is a finding here."""
    layout = data.layout
    return [
        Case(
            case_id=case_id,
            image=path,
            label=data.root / layout.labels.replace(CASE, case_id) if layout.labels else None,
            pseudo_label=data.root / layout.pseudo_labels.replace(CASE, case_id),
        )
        for case_id, path in image_paths(data.root, layout, data.how_to_get).items()
    ]


def compare_cases(data: DatasetDescription, portraits: Sequence[Portrait]) -> list[Finding]:
    """Findings that concern the whole data set."""
    return [
        *_labels_without_image(data.root, data.layout),
        *_other_extensions(data.root, data.layout),
        *_twins(portraits),
        *_empty_classes(data.classes, portraits),
        *_unknown_values(data.classes, portraits),
        *_odd_orientations(portraits),
        *_odd_spacings(portraits),
        *_changed_files(data.root, data.layout),
        *_too_few(data, portraits),
    ]


def _labels_without_image(root: Path, layout: Layout) -> Iterator[Finding]:
    if layout.labels:
        images = case_paths(root, layout.images)
        for case_id, path in case_paths(root, layout.labels).items():
            if case_id not in images:
                yield Finding(
                    "warning",
                    case_id,
                    f"{path} has no image",
                    f"the case is left out; expected {layout.images.replace(CASE, case_id)}",
                )


def _other_extensions(root: Path, layout: Layout) -> Iterator[Finding]:
    """``image_1.nii`` beside ``image_1.nii.gz``."""
    for pattern in (layout.images, layout.labels):
        other = swap_extension(pattern or "")
        if other != (pattern or ""):
            for case_id, path in case_paths(root, other).items():
                yield Finding(
                    "warning",
                    case_id,
                    f"{path.name} is not read",
                    f"the pattern is {pattern}: remove the file, or change the pattern",
                )


def _twins(portraits: Sequence[Portrait]) -> Iterator[Finding]:
    """Cases with identical intensities."""
    first: dict[str, str] = {}
    for portrait in portraits:
        if portrait.digest is None:
            continue
        twin = first.setdefault(portrait.digest, portrait.case_id)
        if twin != portrait.case_id:
            yield Finding(
                "error",
                portrait.case_id,
                f"the image is that of case {twin}",
                "the same volume would be used for training and testing: exclude one with "
                f"data.exclude=[{portrait.case_id}]",
            )


def _empty_classes(classes: Mapping[int, str], portraits: Sequence[Portrait]) -> Iterator[Finding]:
    if not any(portrait.class_voxels for portrait in portraits):
        return
    for class_id, name in classes.items():
        if not any(class_id in portrait.class_voxels for portrait in portraits):
            yield Finding(
                "error",
                "",
                f"no case contains class {class_id} ({name})",
                "the ids in `classes` may not be those in the files: see the table, and "
                "data.label_values",
            )


def _unknown_values(classes: Mapping[int, str], portraits: Sequence[Portrait]) -> Iterator[Finding]:
    unknown = Counter(v for p in portraits for v in p.class_voxels if v not in classes)
    if unknown:
        listed = ", ".join(f"{value} (in {n} cases)" for value, n in sorted(unknown.items()))
        yield Finding(
            "note",
            "",
            f"the labels contain values that are not classes: {listed}",
            "they count as background in evaluation and do not exclude slices in setting 2",
        )


def _odd_orientations(portraits: Sequence[Portrait]) -> Iterator[Finding]:
    """By the angles between the volumes' axes: near 45° a few degrees change the codes."""
    placed = [(p, p.directions) for p in portraits if p.directions is not None]
    codes = Counter(p.orientation for p, _ in placed)
    if not codes:
        return
    usual = codes.most_common(1)[0][0]
    _, reference = next(pair for pair in placed if pair[0].orientation == usual)
    for portrait, directions in placed:
        along = np.clip((reference * directions).sum(axis=0), -1, 1)
        angle = float(np.degrees(np.arccos(along)).max())
        nearest = np.abs(reference.T @ directions).argmax(axis=0)
        another = portrait.orientation != usual and list(nearest) != [0, 1, 2]
        if angle > TURNED and (another or (along < 0).any()):
            yield Finding(
                "warning",
                portrait.case_id,
                f"lies {portrait.orientation}, most cases {usual} (up to {angle:.0f}° between "
                "their axes)",
                "support and query would be mirrored or rotated against each other: bring all to "
                f"one orientation with data.preparation.orientation={usual}",
            )
        elif angle > OBLIQUE:
            yield Finding(
                "note",
                portrait.case_id,
                f"its axes lie up to {angle:.0f}° from those of most cases",
                "no permutation or flip brings them closer; a network sees the organ rotated",
            )


def _odd_spacings(portraits: Sequence[Portrait]) -> Iterator[Finding]:
    measured = [(p.case_id, p.spacing) for p in portraits if p.spacing]
    for axis, name in enumerate("xyz"):
        sizes = {case_id: spacing[axis] for case_id, spacing in measured}
        if sizes and max(sizes.values()) > MAX_SPACING_RATIO * min(sizes.values()):
            small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
            yield Finding(
                "warning",
                "",
                f"voxels are {sizes[small]:.2f} mm along {name} in case {small} and "
                f"{sizes[large]:.2f} mm in case {large}",
                "organs differ in size by as much: resample with data.preparation.spacing",
            )


def _changed_files(root: Path, layout: Layout) -> Iterator[Finding]:
    """Files that differ from the manifest."""
    path = root / "manifest.json"
    try:
        records = _digests(path) if path.is_file() else []
    except (InputError, AttributeError, LookupError, TypeError):
        meaning = "delete it and run gmrd-prepare, which writes it again"
        yield Finding("warning", "", f"{path} cannot be read", meaning)
        return
    for case_id, digests in records:
        for name, digest in digests.items():
            found = [_sha256(file) for file in _files_of(root, layout, name) if file.is_file()]
            if digest not in found:
                yield Finding(
                    "warning",
                    case_id,
                    f"{name} {'was changed' if found else 'is gone'} since it was prepared",
                    "the manifest no longer describes the data; gmrd-prepare makes missing files "
                    "again",
                )


def _digests(manifest: Path) -> list[tuple[str, dict[str, str]]]:
    """The cases of a manifest, each with the SHA-256 of its files by name."""
    cases = read_json(manifest, "run gmrd-prepare again")["cases"]
    return [(str(case["case_id"]), dict(case["sha256"].items())) for case in cases]


def _files_of(root: Path, layout: Layout, name: str) -> list[Path]:
    """The file that a manifest names.

    Early manifests have no folders, so that image, label and supervoxels may share one name.
    """
    if "/" in name:
        return [root / name]
    patterns = (layout.images, layout.labels, layout.pseudo_labels)
    return [(root / pattern).parent / name for pattern in patterns if pattern]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _too_few(data: DatasetDescription, portraits: Sequence[Portrait]) -> Iterator[Finding]:
    if data.folds is None and len(portraits) < data.n_folds:
        yield Finding(
            "error",
            "",
            f"{len(portraits)} cases cannot make {data.n_folds} folds",
            "add cases or set data.n_folds lower",
        )
