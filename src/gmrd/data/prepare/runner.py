"""Prepares all cases of a download: in parallel, resumable, and with a record of what was done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from gmrd.atomic import replacing
from gmrd.data.cases import CASE, Case, Layout, case_paths, select_cases
from gmrd.data.prepare.settings import Preparation
from gmrd.data.prepare.sources import read_case
from gmrd.data.prepare.steps import prepare_volume
from gmrd.data.pseudo_labels import Supervoxels
from gmrd.data.supervoxel_files import make_supervoxels
from gmrd.data.volume import save_like
from gmrd.errors import InputError

RECORDS = "prepared"
"""Folder below the root with one record for every prepared case."""

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Job:
    """One case: its source files and the files to write."""

    case_id: str
    source_image: Path
    source_label: Path | None
    target: Case
    record: Path
    settings: Preparation
    supervoxels: Supervoxels

    def facts(self) -> dict[str, Any]:
        """What the outcome depends on; a record with the same facts is up to date."""
        sources = [p for p in (self.source_image, self.source_label) if p is not None]
        return {
            "gmrd": version("gmrd"),
            "sources": {str(p): _signature(p) for p in sources},
            "preparation": _plain(asdict(self.settings)),
            "supervoxels": asdict(self.supervoxels),
        }

    def outputs(self) -> list[Path]:
        """Files that the case consists of."""
        paths = (self.target.image, self.target.label, self.target.pseudo_label)
        return [p for p in paths if p is not None]

    def is_done(self) -> bool:
        """Whether the files are there and were made from the same sources and settings."""
        if not self.record.is_file() or not all(p.is_file() for p in self.outputs()):
            return False
        facts: object = json.loads(self.record.read_text()).get("facts")
        return facts == self.facts()

    def run(self) -> str:
        """Prepare the case; the record is written last, so an interrupted case is redone."""
        self._remove_leftovers()
        raw = read_case(self.source_image, self.source_label, self.settings)
        volume = prepare_volume(self.case_id, raw, self.settings)
        save_like(self.target.image, volume.image, volume.affine)
        if self.target.label is not None:
            assert volume.label is not None
            save_like(self.target.label, volume.label, volume.affine)
        parameters = asdict(self.supervoxels)
        make_supervoxels(
            self.case_id, self.target.image, self.target.pseudo_label, parameters, overwrite=True
        )
        values = np.zeros(0, np.uint8) if volume.label is None else volume.label
        record = {
            "case_id": self.case_id,
            "shape_xyz": list(volume.image.shape[::-1]),
            "spacing_xyz_mm": list(volume.spacing[::-1]),
            "affine": volume.affine.tolist(),
            "label_voxels": {
                int(v): int(n) for v, n in zip(*np.unique(values, return_counts=True), strict=True)
            },
            "sha256": {p.name: _sha256(p) for p in self.outputs()},
            "facts": self.facts(),
        }
        write_json(self.record, record)
        return self.case_id

    def _remove_leftovers(self) -> None:
        """Temporary files of a run that was killed while it wrote this case."""
        for path in (*self.outputs(), self.record):
            for leftover in path.parent.glob(f".part-*-{path.name}"):
                leftover.unlink(missing_ok=True)


def find_jobs(
    source: Path,
    root: Path,
    layout: Layout,
    settings: Preparation,
    supervoxels: Supervoxels,
    *,
    exclude: Sequence[str | int] = (),
    n_cases: int | None = None,
) -> list[Job]:
    """A job for every case below ``source``, in numeric order.

    Args:
        source: Folder of the download.
        root: Folder to write.
        layout: File patterns below it.
        settings: File patterns below the source and the steps.
        supervoxels: Settings of the supervoxels.
        exclude: Ids to leave out.
        n_cases: How many of the first cases to prepare; all by default.

    Raises:
        InputError: If there is no case, or one without its label that is not to be left out.
    """
    images = case_paths(source, settings.images)
    if not images:
        raise InputError(
            f"nothing to prepare: {source / settings.images} names no file or folder. Set source to"
            f" the folder that holds {settings.images}, or data.preparation.images to the layout of"
            " your download"
        )
    labels = case_paths(source, settings.labels) if settings.labels else {}
    unlabelled = [case for case in images if settings.labels and case not in labels]
    left_out = unlabelled if settings.unlabelled == "skip" and labels else []
    case_ids = select_cases([c for c in images if c not in left_out], exclude, n_cases)
    _refuse_missing_labels(source, settings, [case for case in case_ids if case in unlabelled])
    return [
        Job(
            case_id=case_id,
            source_image=images[case_id],
            source_label=labels.get(case_id),
            target=_target(root, layout, case_id, has_label=settings.labels is not None),
            record=root / RECORDS / f"{case_id}.json",
            settings=settings,
            supervoxels=supervoxels,
        )
        for case_id in case_ids
    ]


def _refuse_missing_labels(source: Path, settings: Preparation, case_ids: list[str]) -> None:
    if case_ids:
        expected = source / str(settings.labels).replace(CASE, case_ids[0])
        raise InputError(
            f"no label for case {', '.join(case_ids)}: expected {expected}. Add it, or leave cases "
            "without a label out with ++data.preparation.unlabelled=skip"
        )


def run_jobs(jobs: list[Job], n_jobs: int) -> Iterator[str]:
    """Run jobs in ``n_jobs`` processes; yields the ids of the cases as they are done.

    Raises:
        InputError: The first refusal of a case; cases done before stay done.
    """
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    yield from parallel(delayed(job.run)() for job in jobs)


def write_manifest(root: Path, name: str, classes: Mapping[int, str], jobs: list[Job]) -> Path:
    """Gather the cases' records into the manifest of the data set; one that is right stays."""
    records = [json.loads(job.record.read_text()) for job in jobs]
    path = root / MANIFEST
    manifest = {
        "name": name,
        "classes": {str(class_id): label for class_id, label in classes.items()},
        "preparation": _plain(asdict(jobs[0].settings)),
        "supervoxels": asdict(jobs[0].supervoxels),
        "versions": {p: version(p) for p in ("gmrd", "monai", "numpy", "nibabel", "torch")},
        "cases": records,
    }
    if not path.is_file() or path.read_text() != _as_json(manifest):
        write_json(path, manifest)
    return path


def write_json(path: Path, content: object) -> None:
    """Write JSON under a temporary name, then rename it."""
    with replacing(path) as temporary:
        temporary.write_text(_as_json(content))


def _as_json(content: object) -> str:
    return json.dumps(content, indent=1)


def _target(root: Path, layout: Layout, case_id: str, *, has_label: bool) -> Case:
    label = layout.labels if has_label else None
    return Case(
        case_id=case_id,
        image=root / layout.images.replace(CASE, case_id),
        label=root / label.replace(CASE, case_id) if label else None,
        pseudo_label=root / layout.pseudo_labels.replace(CASE, case_id),
    )


def _plain(value: Any) -> Any:
    """The value as it is after a round through JSON, for comparison with a record."""
    return json.loads(json.dumps(value))


def _signature(path: Path) -> list[list[Any]]:
    """Names, sizes and times of a file, or of the files in a folder."""
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file())
    return [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
