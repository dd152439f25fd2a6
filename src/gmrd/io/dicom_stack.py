"""The slices of a DICOM series as an evenly spaced stack: their order and affine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gmrd.errors import InputError
from gmrd.io.affine import LPS_TO_RAS
from gmrd.io.dicom_file import DicomFile

TOLERANCE = 0.1
"""How far a slice may lie from its position in an even stack, as a fraction of the spacing.

Scanners round positions to a tenth of a millimetre, a few per cent of a thin slice's spacing; a
missing or duplicated slice displaces at least one other by a third. So the single affine of an
accepted stack is accurate to a tenth of a slice.
"""

MAX_SHEAR = 1.0
"""Largest in-plane shift from one slice to the next, as a fraction of the spacing: 45°."""

AXES_TOLERANCE = 1e-2
"""Tolerance for rounded directions to be of unit length and orthogonal."""

COMMON = {"Rows": 1, "Columns": 1, "ImageOrientationPatient": 6, "PixelSpacing": 2}
"""Attributes that all slices of a volume share, and how many numbers each has."""


def in_order(files: Sequence[DicomFile], source: str) -> list[DicomFile]:
    """The slices sorted along their normal.

    Raises:
        InputError: there is only one, or they differ in size, direction or pixel spacing.
    """
    if len(files) == 1:
        raise InputError(f"{source} holds a single slice: give a series of several")
    first = files[0]
    _check_axes(first)
    for file in files:
        for keyword, n in COMMON.items():
            if not np.allclose(file.numbers(keyword, n), first.numbers(keyword, n), atol=1e-3):
                raise InputError(
                    f"{file.path} differs from {first.path.name} in {keyword}: they are not one "
                    "volume. Separate the series"
                )
    normal = _normal(first)
    heights = [float(file.numbers("ImagePositionPatient", 3) @ normal) for file in files]
    return [files[i] for i in np.argsort(heights, kind="stable")]


def affine_of(ordered: Sequence[DicomFile], source: str) -> Float[np.ndarray, "4 4"]:
    """Voxel (x, y, z) to world millimetres, right-anterior-superior.

    With a tilted gantry, each slice is shifted in plane against the one before. The affine is then
    sheared, so that every voxel lies where the header of its slice puts it.

    Raises:
        InputError: the slices do not form an even stack.
    """
    first = ordered[0]
    origins = np.stack([file.numbers("ImagePositionPatient", 3) for file in ordered])
    step = (origins[-1] - origins[0]) / (len(ordered) - 1)
    _refuse_uneven(ordered, origins, step, source)
    between_rows, between_columns = first.numbers("PixelSpacing", 2)
    orientation = first.numbers("ImageOrientationPatient", 6)
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * between_columns
    affine[:3, 1] = orientation[3:] * between_rows
    affine[:3, 2] = step
    affine[:3, 3] = origins[0]
    return LPS_TO_RAS @ affine


def _check_axes(file: DicomFile) -> None:
    """Refuse a pixel size of 0, or row and column directions that are not orthonormal."""
    spacing = file.numbers("PixelSpacing", 2)
    if spacing.min() <= 0:
        raise InputError(f"{file.path}: PixelSpacing is {spacing.tolist()}: it must be above 0")
    axes = file.numbers("ImageOrientationPatient", 6).reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=AXES_TOLERANCE):
        raise InputError(
            f"{file.path}: ImageOrientationPatient is {axes.ravel().tolist()}: expected two "
            "orthogonal unit vectors: fix the header"
        )


def _normal(file: DicomFile) -> Float[np.ndarray, "3"]:
    orientation = file.numbers("ImageOrientationPatient", 6)
    return np.cross(orientation[:3], orientation[3:])


def _refuse_uneven(
    ordered: Sequence[DicomFile],
    origins: Float[np.ndarray, "z 3"],
    step: Float[np.ndarray, "3"],
    source: str,
) -> None:
    normal = _normal(ordered[0])
    gaps = np.diff(origins @ normal)
    usual = float(np.median(gaps))
    off = np.linalg.norm(origins - origins[0] - np.arange(len(ordered))[:, None] * step, axis=1)
    if gaps.min() <= 0 or (off.max() > TOLERANCE * usual and np.ptp(gaps) > TOLERANCE * usual):
        worst = int(np.abs(gaps - usual).argmax())
        raise InputError(
            f"{source}: the gap between slices {worst} and {worst + 1} is {gaps[worst]:.2f} mm "
            f"(after {ordered[worst].path.name}), but {usual:.2f} mm elsewhere: a slice is missing "
            "or duplicated"
        )
    sideways = float(np.linalg.norm(step - (step @ normal) * normal))
    if off.max() > TOLERANCE * usual or sideways > MAX_SHEAR * usual:
        worst = int(off.argmax())
        raise InputError(
            f"{source}: {ordered[worst].path.name} lies {off[worst]:.1f} mm off a straight stack "
            f"with an in-plane shift of {sideways:.1f} mm per slice: resample the series"
        )
