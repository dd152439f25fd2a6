"""Preparing all cases of a download: in parallel, resumable, and with a manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from joblib import Parallel, delayed

from gmrd.data.cases import CASE, Case, Layout, case_paths, select_cases
from gmrd.data.prepare.job import Job, as_json, plain, write_json
from gmrd.data.prepare.settings import Preparation
from gmrd.data.supervoxel_files import Supervoxels
from gmrd.errors import InputError
from gmrd.processes import as_worker

MANIFEST = "manifest.json"


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
        InputError: If there are no cases, or one lacks its label and may not be skipped.
    """
    images = case_paths(source, settings.images)
    if not images:
        raise InputError(
            f"nothing to prepare: {source / settings.images} names no file or folder. Set source to"
            f" the folder that holds {settings.images}, or data.preparation.images to the layout of"
            " your download"
        )
    labels = case_paths(source, settings.labels) if settings.labels else {}
    left_out = set(images) - set(labels) if labels and settings.unlabelled == "skip" else set()
    case_ids = select_cases([c for c in images if c not in left_out], exclude, n_cases)
    if settings.labels:
        _refuse_missing_labels(source, settings, [c for c in case_ids if c not in labels])
    return [
        Job(
            case_id=case_id,
            source_image=images[case_id],
            source_label=labels.get(case_id),
            target=_target(root, layout, case_id, has_label=settings.labels is not None),
            root=root,
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
            "without a label out with data.preparation.unlabelled=skip"
        )


def run_jobs(jobs: list[Job], n_jobs: int) -> Iterator[str]:
    """Run jobs in ``n_jobs`` processes; yields the ids of the cases as they are done.

    Raises:
        InputError: The first error of a case; cases finished before are kept.
    """
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    yield from parallel(delayed(as_worker)(os.getpid(), job.run) for job in jobs)


def write_manifest(root: Path, name: str, classes: Mapping[int, str], jobs: list[Job]) -> Path:
    """Write the data set's manifest from the cases' records, unless it is up to date."""
    records = [json.loads(job.record.read_text()) for job in jobs]
    path = root / MANIFEST
    manifest = {
        "name": name,
        "classes": {str(class_id): label for class_id, label in classes.items()},
        "preparation": plain(asdict(jobs[0].settings)),
        "supervoxels": asdict(jobs[0].supervoxels),
        "versions": {p: version(p) for p in ("gmrd", "monai", "numpy", "nibabel", "torch")},
        "cases": records,
    }
    if not path.is_file() or path.read_bytes() != as_json(manifest).encode():
        write_json(path, manifest)
    return path


def _target(root: Path, layout: Layout, case_id: str, *, has_label: bool) -> Case:
    label = layout.labels if has_label else None
    return Case(
        case_id=case_id,
        image=root / layout.images.replace(CASE, case_id),
        label=root / label.replace(CASE, case_id) if label else None,
        pseudo_label=root / layout.pseudo_labels.replace(CASE, case_id),
    )
