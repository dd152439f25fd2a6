"""From a volume to the pseudo-labels from which training draws episodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import SupportsFloat, SupportsInt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmrd.supervoxels.checks import as_volume
from gmrd.supervoxels.felzenszwalb import felzenszwalb
from gmrd.supervoxels.foreground import foreground_mask


def rescale(image: ArrayLike) -> NDArray[np.float64]:
    """A volume (z, y, x) scaled linearly to 0..255, as a C-ordered float64 copy.

    Raises:
        InputError: If the image is not a volume or is constant.
    """
    grey = as_volume(image).astype(np.float64, order="C")
    low, high = grey.min(), grey.max()
    grey -= low
    grey *= 255.0
    grey /= high - low
    return grey


def pseudo_labels(
    image: ArrayLike,
    *,
    spacing: Iterable[SupportsFloat],
    scale: SupportsFloat = 1.0,
    sigma: SupportsFloat = 0.0,
    min_size: SupportsInt = 5000,
    n_threads: int = 1,
) -> NDArray[np.int32]:
    """Supervoxels of the body, as usual in the field.

    The image is rescaled to 0..255, segmented, and masked with the foreground.

    Args:
        image: (z, y, x) real and finite, in any unit.
        spacing: Voxel size (z, y, x) in millimetres.
        scale: As in ``felzenszwalb``.
        sigma: As in ``felzenszwalb``.
        min_size: Smallest number of voxels of a supervoxel before masking; usual are 5000 for
            abdominal and 1000 for cardiac volumes.
        n_threads: Number of threads.

    Returns:
        (z, y, x): 0 for background; elsewhere the label of ``felzenszwalb``, with its label 0
        replaced by n, the number of segments.

    Raises:
        InputError: If the image or a parameter cannot be used.
    """
    grey = rescale(image)
    labels = felzenszwalb(
        grey, spacing=spacing, scale=scale, sigma=sigma, min_size=min_size, n_threads=n_threads
    )
    labels[labels == 0] = labels.max() + 1
    labels[~foreground_mask(grey)] = 0
    return labels
