"""Reading scans and label maps in all formats, after checks that keep the libraries safe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from gmrd.errors import InputError
from gmrd.io.agreement import refuse_other_place, refuse_other_shape
from gmrd.io.archive import unpacked
from gmrd.io.dicom import read_series
from gmrd.io.formats import SCAN_EXTENSIONS, expanded, format_of, is_folder, stem
from gmrd.io.nifti import nifti_geometry, read_nifti
from gmrd.io.scan import Geometry, Scan
from gmrd.io.text_volume import read_text_volume
from gmrd.io.voxels import VoxelType


def read_scan(path: str | Path, *, dtype: VoxelType = np.float32) -> Scan:
    """Read a scan: NIfTI, NRRD, MHA, a folder with a DICOM series, or a zip of one of these.

    Args:
        path: the file or folder.
        dtype: of the voxels: float32 or float64 for intensities, int32 for labels.

    Raises:
        InputError: it is missing, in no known format, damaged, hostile or not one 3-D volume; or
            a voxel is not finite or, with int32, not a whole number from 0.
    """
    path = expanded(path)
    if is_folder(path):
        return read_series(path, source=str(path), dtype=dtype)
    kind = format_of(path)
    if kind == "zip":
        return _read_zip(path, dtype)
    if kind == "dicom":
        raise InputError(f"{path} is a single DICOM file: give the folder of its series")
    return read_nifti(path, dtype) if kind == "nifti" else read_text_volume(path, kind, dtype)


def read_geometry(path: str | Path) -> Geometry:
    """Where a scan's voxels lie: for NIfTI from the header alone, else by reading the scan.

    Raises:
        InputError: as :func:`read_scan`.
    """
    path = expanded(path)
    if not is_folder(path) and format_of(path) == "nifti":
        return nifti_geometry(path)
    return read_scan(path).geometry


def read_label(path: str | Path, scan: Scan) -> Int32[np.ndarray, "z y x"]:
    """Read the label map of a scan; it must have the scan's shape and place."""
    path = expanded(path)
    label = read_scan(path, dtype=np.int32)
    refuse_other_shape(path, label.image, scan.image)
    refuse_other_place(path, label.affine, scan.affine, scan.image.shape)
    return label.image


@contextmanager
def _naming(folder: Path, path: Path) -> Iterator[None]:
    """Make errors name the archive instead of the temporary folder."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace(str(folder), str(path))) from error


def _read_zip(path: Path, dtype: VoxelType) -> Scan:
    with unpacked(path) as folder, _naming(folder, path):
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        scans = [file for file in files if file.name.lower().endswith(SCAN_EXTENSIONS)]
        if len(scans) > 1:
            raise InputError(f"{path} holds {len(scans)} scans: unpack it and give them separately")
        if scans:
            kind = format_of(scans[0])
            if kind in ("zip", "dicom"):
                raise InputError(
                    f"{path}: {scans[0].name} is in fact {kind}: rename it, or give what is in it"
                )
            scan = read_scan(scans[0], dtype=dtype)
        else:
            scan = read_series(folder, source=str(path), dtype=dtype)
    return replace(scan, name=stem(path), source=str(path))
