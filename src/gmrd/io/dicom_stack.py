"""The slices of a DICOM series as an even stack: their order, and their place in the patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gmrd.errors import InputError
from gmrd.io.affine import LPS_TO_RAS
from gmrd.io.dicom_file import DicomFile

TOLERANCE = 0.1
"""How far a slice may lie from its place in an even stack, as a share of the slice distance.

Scanners round positions to a tenth of a millimetre, which is some per cent of a thin slice's
distance; a missing or doubled slice puts at least one of the others off by a third. What is
accepted is placed by one affine that is right to a tenth of a slice.
"""

MAX_SHEAR = 1.0
"""How far slices may shift sideways from one to the next, as a share of their distance: 45°."""

AXES_TOLERANCE = 1e-2
"""How far rounded directions may be from unit length and from a right angle."""

ALIKE = ("Rows", "Columns", "ImageOrientationPatient", "PixelSpacing")
"""What the slices of a volume have in common, and how many numbers each is."""


def in_order(files: Sequence[DicomFile], source: str) -> list[DicomFile]:
    """The slices along their normal.

    Raises:
        InputError: there is only one, or they differ in size, direction or pixel spacing.
    """
    if len(files) == 1:
        raise InputError(f"{source} holds a single slice: a volume has several")
    first = files[0]
    _check_axes(first)
    for file in files:
        for keyword, n in zip(ALIKE, (1, 1, 6, 2), strict=True):
            if not np.allclose(file.numbers(keyword, n), first.numbers(keyword, n), atol=1e-3):
                raise InputError(
                    f"{file.path} differs from {first.path.name} in {keyword}: not one volume"
                )
    normal = _normal(first)
    heights = [float(file.numbers("ImagePositionPatient", 3) @ normal) for file in files]
    return [files[i] for i in np.argsort(heights, kind="stable")]


def affine_of(ordered: Sequence[DicomFile], source: str) -> Float[np.ndarray, "4 4"]:
    """Voxel (x, y, z) to world millimetres, right-anterior-superior.

    Slices under a tilted gantry shift sideways from one to the next; the affine is sheared then,
    so that every voxel lies where its slice's header puts it.

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
    """Refuse pixels without a size, or rows and columns that are no directions at right angles."""
    spacing = file.numbers("PixelSpacing", 2)
    if spacing.min() <= 0:
        raise InputError(f"{file.path}: PixelSpacing is {spacing.tolist()}: it must be above 0")
    axes = file.numbers("ImageOrientationPatient", 6).reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=AXES_TOLERANCE):
        raise InputError(
            f"{file.path}: ImageOrientationPatient is {axes.ravel().tolist()}, which are no two "
            "directions at right angles: repair the header"
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
            "or there twice"
        )
    sideways = float(np.linalg.norm(step - (step @ normal) * normal))
    if off.max() > TOLERANCE * usual or sideways > MAX_SHEAR * usual:
        worst = int(off.argmax())
        raise InputError(
            f"{source}: {ordered[worst].path.name} lies {off[worst]:.1f} mm off a straight stack "
            f"whose slices shift sideways by {sideways:.1f} mm each: resample the series"
        )
