"""Graph-based segmentation of a volume, by the compiled core."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, SupportsFloat, SupportsInt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from gmrd import _core
from gmrd.supervoxels.checks import (
    as_volume,
    check_parameters,
    refuse_wide,
    slice_over_pixel,
)

SCALE_UNIT = 1 / 255
"""The public scale counts in units of the grey range 0..255, as in scikit-image."""


def felzenszwalb(
    image: ArrayLike,
    *,
    spacing: Iterable[SupportsFloat] = (1.0, 1.0, 1.0),
    scale: SupportsFloat = 1.0,
    sigma: SupportsFloat = 0.0,
    min_size: SupportsInt = 5000,
    n_threads: int = 1,
) -> NDArray[np.int32]:
    """Segment a volume on its anisotropic 26-neighbourhood graph.

    The method of Felzenszwalb and Huttenlocher (IJCV 59, 2004), with edges between each voxel and
    its 26 neighbours. An edge costs sqrt(w) times the difference of grey values, with w = 1 in a
    slice and, for s = slice spacing over pixel spacing, s² straight between slices, (1 + s²)/2 over
    a row or column and (2 + s²)/3 over both. Edges of equal cost have a fixed order, so the labels
    are the same on every machine and for any ``n_threads``.

    Grey values are used unchanged (see ``rescale``). Arrays of float32 and float64 in C order
    are read in place; of any other type or order a C-ordered copy is made (float64, or float32
    for float16).

    Args:
        image: (z, y, x) real and finite.
        spacing: Voxel size (z, y, x) in millimetres. Pixels are assumed to be squares of the x
            size.
        scale: Larger values merge more, before ``min_size`` applies; in grey values × voxels × 255.
        sigma: Standard deviation in pixels of a Gaussian that smooths the image first, equally
            in millimetres along all axes; 0 for no smoothing.
        min_size: Smallest number of voxels of a segment.
        n_threads: Number of threads.

    Returns:
        Labels 0 .. n - 1 of shape (z, y, x), numbered by first voxel in raster order.

    Raises:
        InputError: If the image or a parameter cannot be used.
    """
    volume = as_volume(image)
    ratio = slice_over_pixel(spacing)
    scale, sigma = float(scale), float(sigma)
    check_parameters(volume.size, scale, sigma, min_size, n_threads)
    contiguous: NDArray[Any] = np.ascontiguousarray(volume, dtype=_working_type(volume.dtype))
    if sigma > 0:
        refuse_wide(sigma, ratio, volume.shape)
        contiguous = ndimage.gaussian_filter(contiguous, sigma=(sigma / ratio, sigma, sigma))
    return _core.felzenszwalb3d(
        contiguous,
        z_over_x=ratio,
        scale=scale * SCALE_UNIT,
        min_size=int(min_size),
        n_threads=int(n_threads),
    )


def _working_type(dtype: np.dtype[Any]) -> type[np.float32] | type[np.float64]:
    return np.float32 if dtype.kind == "f" and dtype.itemsize <= 4 else np.float64
