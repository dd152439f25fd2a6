"""Refusing invalid arrays and parameters, each with a sentence."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any, SupportsFloat, SupportsInt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmrd.errors import InputError

MAX_VOXELS = 2**31 - 2
"""Voxels are numbered by 32-bit integers."""

MAX_SPACING_RATIO = 1e6
SQUARE_TOLERANCE = 1e-3


def as_volume(image: ArrayLike) -> NDArray[Any]:
    """The image as an array of finite real numbers of shape (z, y, x).

    Raises:
        InputError: If it is anything else, is empty, too large, constant or a single slice.
    """
    volume = np.asarray(image)
    if volume.dtype.kind not in "biuf":
        raise InputError(f"the image holds {volume.dtype} values: real numbers are needed")
    if volume.ndim != 3:
        raise InputError(
            f"the image has {volume.ndim} dimensions {volume.shape}: a volume (z, y, x) is needed"
        )
    if volume.size == 0:
        raise InputError(f"the image is empty: its shape is {volume.shape}")
    if volume.size > MAX_VOXELS:
        raise InputError(
            f"the image has {volume.size} voxels {volume.shape}, more than the {MAX_VOXELS} that "
            "can be numbered: crop or resample it"
        )
    if volume.shape[0] < 2:
        raise InputError(
            "the image is a single slice: supervoxels need neighbouring slices along the first axis"
        )
    low, high = float(volume.min()), float(volume.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        count = int((~np.isfinite(volume)).sum())
        raise InputError(
            f"the image holds {count} voxels that are NaN or infinite: replace them first"
        )
    if low == high:
        raise InputError(
            f"the image is constant: every voxel is {low:g}, so there is nothing to segment"
        )
    if not 1e-100 <= high - low <= 1e100:
        raise InputError(
            f"the image spans {low:g} to {high:g}: rescale it, to 0..255 for example, since "
            "squared differences leave the range of double precision"
        )
    return volume


def slice_over_pixel(spacing: Iterable[SupportsFloat]) -> float:
    """Slice spacing over pixel spacing, of ``spacing`` (z, y, x) in millimetres.

    Pixels are assumed to be squares of the x spacing; if they are not, a warning says so.
    """
    sizes = [float(size) for size in spacing]
    if len(sizes) != 3 or not all(math.isfinite(size) and size > 0 for size in sizes):
        raise InputError(
            f"spacing {tuple(sizes)} is not three positive lengths (z, y, x) in millimetres"
        )
    z, y, x = sizes
    if not 1 / MAX_SPACING_RATIO <= z / x <= MAX_SPACING_RATIO:
        raise InputError(f"spacing {(z, y, x)}: slices {z / x:g} times as far apart as pixels")
    if abs(y - x) > SQUARE_TOLERANCE * x:
        warnings.warn(
            f"spacing {(z, y, x)}: pixels are not square; the method knows one pixel spacing, so "
            f"they are taken as {x:g} × {x:g} mm squares",
            stacklevel=3,
        )
    return z / x


def check_parameters(
    n_voxels: int, scale: float, sigma: float, min_size: SupportsInt, n_threads: int
) -> None:
    """Raise unless every parameter is in its range."""
    for name, value in (("scale", scale), ("sigma", sigma)):
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name}={value} must be a finite number, 0 or more")
    if min_size != int(min_size) or not 1 <= min_size <= n_voxels:
        raise InputError(
            f"min_size={min_size} must be a whole number of voxels from 1 to the volume's "
            f"{n_voxels}"
        )
    if n_threads != int(n_threads) or not 1 <= n_threads <= 1024:
        raise InputError(f"n_threads={n_threads} must be a whole number from 1 to 1024")


def refuse_wide(sigma: float, ratio: float, shape: tuple[int, ...]) -> None:
    """Refuse a Gaussian wider than the volume: it leaves nothing, and takes hours.

    Args:
        sigma: In pixels of a slice.
        ratio: Slice spacing over pixel spacing.
        shape: Of the volume.

    Raises:
        InputError: If it is.
    """
    if max(sigma, sigma / ratio) > max(shape):
        raise InputError(
            f"sigma={sigma:g} pixels is wider than the volume of {shape} voxels: set at most a few"
        )
