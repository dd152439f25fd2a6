"""Valid voxel values: finite intensities, or whole label values from 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int32, Num, Shaped

from gmrd.errors import InputError

VoxelType = type[np.float32] | type[np.float64] | type[np.int32]
"""Intensities are read as float32 (or float64), labels as int32."""

MAX_LABEL = np.iinfo(np.int32).max


def as_voxels(
    source: Path | str, array: Shaped[np.ndarray, "*shape"], dtype: VoxelType
) -> Num[np.ndarray, "*shape"]:
    """Stored values as intensities or labels.

    Raises:
        InputError: an intensity is NaN, infinite or overflows the type; for labels see
            :func:`as_integers`.
    """
    if dtype is np.int32:
        return as_integers(source, array)
    with np.errstate(over="ignore"):  # an overflow becomes infinite, which is refused
        values = array.astype(dtype, copy=False)
    bad = np.count_nonzero(~np.isfinite(values)) if array.dtype.kind == "f" else 0
    if bad:
        raise InputError(f"{source} holds {bad} voxels that are NaN or infinite: fix the file")
    return values


def as_integers(
    source: Path | str, array: Shaped[np.ndarray, "*shape"]
) -> Int32[np.ndarray, "*shape"]:
    """Labels as int32.

    Raises:
        InputError: a value is a fraction, negative, NaN or larger than an int32.
    """
    if array.dtype.kind not in "iuf":
        return array.astype(np.int32)  # bool
    if array.dtype.kind == "f":
        rounded = np.rint(array)
        with np.errstate(invalid="ignore"):  # infinite less infinite is NaN, which is odd
            odd = ~(np.abs(array - rounded) <= 1e-3) | (rounded < 0) | (rounded > MAX_LABEL)
    else:
        rounded = array
        odd = (array < 0) | (array > MAX_LABEL)
    if odd.any():
        value = array[odd][0]
        raise InputError(
            f"{source} holds the value {value:g}, but labels are whole numbers from 0 to "
            f"{MAX_LABEL}: resample label maps with nearest-neighbour interpolation"
        )
    return np.asarray(rounded, dtype=np.int32)
