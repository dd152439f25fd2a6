"""Scans and label maps from Python: files, arrays or nibabel images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Int32, Num, Shaped
from nibabel.spatialimages import SpatialImage

from gmrd.errors import InputError
from gmrd.io.affine import LPS_TO_RAS, refuse_unplaceable
from gmrd.io.agreement import refuse_other_place, refuse_other_shape
from gmrd.io.formats import check_size
from gmrd.io.nifti import scan_of_image
from gmrd.io.readers import read_label, read_scan
from gmrd.io.scan import Scan
from gmrd.io.voxels import VoxelType, as_integers, as_voxels

ArrayWithPlace: TypeAlias = tuple[np.ndarray, Sequence[int | float] | np.ndarray]
ScanLike: TypeAlias = str | Path | Scan | SpatialImage | ArrayWithPlace
"""A file or DICOM folder, a nibabel image, or an array (z, y, x) with its geometry: the voxel size
(z, y, x) in mm, or an affine as nibabel's, from (x, y, z) to right-anterior-superior mm."""

LabelLike: TypeAlias = str | Path | np.ndarray | SpatialImage
"""A file, an array (z, y, x) of its scan's shape, or a nibabel image."""

ARRAY = "an array"


def as_scan(given: ScanLike) -> Scan:
    """Read or wrap a scan.

    An array with only a voxel size is assumed to be oriented as in SimpleITK by default: x to the
    patient's left, y to posterior, z to superior.

    Raises:
        InputError: a file is refused, an array is not 3-D, or its affine is refused.
    """
    if isinstance(given, Scan):
        return given
    if isinstance(given, str | Path):
        return read_scan(given)
    if isinstance(given, SpatialImage):
        return scan_of_image(given, np.float32)
    if not isinstance(given, tuple) or len(given) != 2:  # whoever passes an array alone
        raise InputError(
            f"a scan cannot be a {type(given).__name__}: give a file, a nibabel image, or a pair "
            "of an array (z, y, x) and its voxel size (z, y, x) in mm or its affine"
        )
    array, place = np.asarray(given[0]), np.asarray(given[1], dtype=np.float64)
    return Scan("scan", _volume(array, np.float32), _affine(place), source=ARRAY)


def as_label(given: LabelLike, scan: Scan) -> Int32[np.ndarray, "z y x"]:
    """Read or wrap the label map of a scan; it must have the scan's shape and place.

    Raises:
        InputError: it does not fit the scan, or a value is not a label.
    """
    if isinstance(given, str | Path):
        return read_label(given, scan)
    source = Path(f"the label map of {scan.name}")
    if isinstance(given, SpatialImage):
        label = scan_of_image(given, np.int32)
        refuse_other_shape(source, label.image, scan.image)
        refuse_other_place(source, label.affine, scan.affine, scan.image.shape)
        return label.image
    if given.shape != scan.image.shape:
        raise InputError(f"the label has shape {given.shape}, its scan {scan.image.shape}")
    return as_integers(source, given)


def _volume(array: Shaped[np.ndarray, "..."], dtype: VoxelType) -> Num[np.ndarray, "z y x"]:
    if array.ndim != 3:
        raise InputError(f"{ARRAY} has shape {array.shape}: expected three dimensions (z, y, x)")
    check_size(Path(ARRAY), array.shape)
    return as_voxels(ARRAY, array, dtype)


def _affine(place: Num[np.ndarray, "..."]) -> Num[np.ndarray, "4 4"]:
    if place.shape == (3,):
        affine = LPS_TO_RAS @ np.diag([*place[::-1], 1.0])
    elif place.shape == (4, 4):
        affine = place
    else:
        raise InputError(
            f"{ARRAY} comes with {place.tolist()}: give three voxel sizes (z, y, x) in mm, or a "
            "4 x 4 affine"
        )
    if place.shape == (3,) and not place.min() > 0:
        raise InputError(f"{ARRAY} has voxels of {place.tolist()} mm: sizes must be above 0")
    refuse_unplaceable(ARRAY, affine)
    return affine
