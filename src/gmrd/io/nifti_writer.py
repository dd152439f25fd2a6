"""The only writer of NIfTI files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float, Shaped

from gmrd.errors import InputError
from gmrd.io.affine import is_sheared
from gmrd.io.atomic import replacing
from gmrd.io.formats import NIFTI_EXTENSIONS

FREE_TEXT = ("data_type", "db_name", "descrip", "aux_file", "intent_name")
"""Fields that may hold a patient's name and are cleared; NIfTI-2 lacks the first two."""


def write_nifti(
    path: Path,
    array: Shaped[np.ndarray, "z y x"],
    affine: Float[np.ndarray, "4 4"],
    *,
    header: Any = None,
    stored_shape: tuple[int, ...] | None = None,
    description: str = "",
) -> Path:
    """Write a (z, y, x) array as NIfTI, atomically.

    Without a header, qform and sform are both set to the affine, with code 1, so that all viewers
    agree. A qform cannot represent a sheared affine: then only the sform is set.

    Args:
        path: where to write, ending in ``.nii`` or ``.nii.gz``.
        array: booleans are stored as uint8, int64 as int32.
        affine: voxel (x, y, z) to world millimetres.
        header: of the NIfTI file whose placement is kept exactly: qform, sform, their codes and
            the units are copied; free text and extensions are not.
        stored_shape: the file's shape if it differs from (x, y, z), such as (x, y, z, 1).
        description: for the header, at most 79 characters.

    Raises:
        InputError: the path has another extension, or the file cannot be written.
    """
    if not path.name.lower().endswith(NIFTI_EXTENSIONS):
        raise InputError(f"{path} is not a NIfTI file name: it must end in .nii or .nii.gz")
    stored = _storable(path, array).transpose(2, 1, 0)
    if stored_shape is not None:
        stored = np.ascontiguousarray(stored).reshape(stored_shape)
    image = _placed(stored, affine) if header is None else _placed_as(header, stored)
    image.header["descrip"] = description
    with replacing(path) as temporary:
        nib.save(image, temporary)
    return path


def _storable(path: Path, array: Shaped[np.ndarray, "z y x"]) -> Shaped[np.ndarray, "z y x"]:
    """The array in a type that every NIfTI reader supports."""
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype != np.int64:
        return array
    limits = np.iinfo(np.int32)
    if array.min(initial=0) < limits.min or array.max(initial=0) > limits.max:
        raise InputError(f"{path}: the value {int(np.abs(array).max())} is too large for an int32")
    return array.astype(np.int32)


def _placed(stored: Shaped[np.ndarray, "..."], affine: Float[np.ndarray, "4 4"]) -> Any:
    image = nib.Nifti1Image(stored, affine)
    image.set_sform(affine, code=1)
    if is_sheared(affine):
        image.set_qform(None, code=0)
    else:
        image.set_qform(affine, code=1)
    return image


def _placed_as(original: Any, stored: Shaped[np.ndarray, "..."]) -> Any:
    header = original.copy()
    header.set_data_dtype(stored.dtype)
    header["cal_min"] = header["cal_max"] = 0
    for field in FREE_TEXT:
        if field in header:
            header[field] = b""
    # Extensions may hold a DICOM header, and with it the patient's name.
    header.extensions.clear()
    container = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    # Without an affine, nibabel keeps the header's qform and sform.
    return container(stored, None, header)
