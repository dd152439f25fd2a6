"""A volume's supervoxels, from file to file, recomputed only after a change."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from rich.progress import track

from gmrd.data.cases import Case
from gmrd.errors import InputError, UnwritableError
from gmrd.io.formats import refuse_no_file
from gmrd.io.nifti_writer import write_nifti
from gmrd.io.readers import read_scan
from gmrd.supervoxels import pseudo_labels
from gmrd.values.kinds import Count, NonNegative

MARK = "gmrd supervoxels "
"""Start of the description in the header of every file made here, before the fingerprint."""

VERSION = 1
"""Increase this number if the same input gives other labels, so that files are recomputed."""

Status = Literal["made", "unchanged", "kept"]


@dataclass(frozen=True)
class Supervoxels:
    """Settings of :func:`gmrd.supervoxels.pseudo_labels`.

    Attributes:
        min_size: Smallest number of voxels: 5000 for the abdomen, 1000 for the heart.
        scale: Larger values merge more.
        sigma: Standard deviation of the smoothing beforehand, in pixels of a slice.
    """

    min_size: Count = 5000
    scale: NonNegative = 1.0
    sigma: NonNegative = 0.0


@dataclass(frozen=True)
class Outcome:
    """The outcome for one volume.

    Attributes:
        case_id: Id of the case.
        status: "made" now; "unchanged" since it was made; or "kept", if there is a file that gmrd
            did not make.
        sizes: Voxels of every supervoxel in the body, largest first; empty unless made.
        seconds: Time taken.
    """

    case_id: str
    status: Status
    sizes: tuple[int, ...]
    seconds: float


def make_supervoxels(
    case_id: str,
    image: Path,
    target: Path,
    parameters: Mapping[str, Any],
    *,
    overwrite: bool = False,
    overlay: Path | None = None,
) -> Outcome:
    """Write the supervoxels of an image file, with its affine, unless they are up to date.

    Args:
        case_id: Id of the case, for the outcome.
        image: NIfTI file to read.
        target: NIfTI file to write, atomically.
        parameters: Of :func:`gmrd.supervoxels.pseudo_labels`: scale, sigma, min_size.
        overwrite: Compute them in any case.
        overlay: PNG of the image with the supervoxels' outlines.

    Raises:
        InputError: If the image cannot be read or segmented; the message names the file.
    """
    start = time.perf_counter()
    mark = MARK + fingerprint(image, parameters)
    status = _status(target, mark, overwrite)
    if status != "made" and (overlay is None or overlay.is_file()):
        return Outcome(case_id, status, (), time.perf_counter() - start)
    scan = read_scan(image, dtype=np.float64)
    if status == "made":
        try:
            labels = pseudo_labels(scan.image, spacing=scan.spacing, **parameters)
        except InputError as error:
            raise InputError(f"{image}: {error}") from error
        write_nifti(target, labels, scan.affine, description=mark)
    else:
        labels = read_scan(target, dtype=np.int32).image
    if overlay is not None:
        from gmrd.viz.supervoxels import draw_overlay

        draw_overlay(overlay, scan.image, labels, title=case_id)
    sizes = np.sort(np.bincount(labels.ravel())[1:])[::-1]
    return Outcome(case_id, status, tuple(sizes[sizes > 0].tolist()), time.perf_counter() - start)


def fingerprint(image: Path, parameters: Mapping[str, Any]) -> str:
    """A short hash of everything that the labels depend on."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([VERSION, dict(parameters)], sort_keys=True).encode())
    refuse_no_file(image)
    try:
        digest.update(image.read_bytes())
    except OSError as error:
        raise InputError(f"{image} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def mark_of(supervoxels: Path) -> str:
    """The description in the header, which for a file made here is :data:`MARK` and fingerprint."""
    described = bytes(nib.load(supervoxels).header["descrip"])
    return described.rstrip(b"\0").decode("ascii", "replace")


def _status(target: Path, mark: str, overwrite: bool) -> Status:
    if overwrite or not target.is_file():
        return "made"
    try:
        found = mark_of(target)
    except Exception as error:  # nibabel raises many types on damaged files
        raise InputError(
            f"{target} exists but cannot be read: delete it, or set overwrite=true"
        ) from error
    if found == mark:
        return "unchanged"
    return "made" if found.startswith(MARK) else "kept"


def writable_root(root: Path, cache_dir: Path) -> Path:
    """Folder for supervoxels that have to be computed: the data root, or the cache if read-only."""
    first = next((p for p in (root, *root.parents) if p.exists()), Path("/"))
    if os.access(first, os.W_OK):
        return root
    return cache_dir / "supervoxels" / str(root.resolve()).strip("/").replace("/", "-")


def make_up_to_date(cases: Sequence[Case], settings: Supervoxels) -> None:
    """Compute the supervoxels that are missing or whose image or settings changed.

    Files not made by gmrd are kept. Shows a progress bar.
    """
    for case in track(cases, description="Supervoxels", transient=True):
        try:
            make_supervoxels(case.case_id, case.image, case.pseudo_label, asdict(settings))
        except UnwritableError as error:
            place = "the supervoxels of a read-only data root go below data.cache_dir"
            raise InputError(f"{error}; {place}") from error
        except InputError as error:
            remedy = f"fix it, or leave the case out with data.exclude=[{case.case_id}]"
            raise InputError(f"{error}; {remedy}") from error
