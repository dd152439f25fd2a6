"""The mask of the body."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Real
from scipy import ndimage

THRESHOLD = 10
"""Grey value, of 0..255, above which a voxel may be body."""

EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


def foreground_mask(image: Real[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    """The body in an image of grey values 0..255.

    In every axial slice: the largest 8-connected component brighter than 10, its holes filled.
    Slices without such voxels are empty.
    """
    return np.stack([_largest_component(axial > THRESHOLD) for axial in image])


def _largest_component(mask: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    components, count = ndimage.label(mask, structure=EIGHT_CONNECTED)
    if count == 0:
        return mask
    largest = 1 + np.bincount(components.ravel())[1:].argmax()
    filled: Bool[np.ndarray, "y x"] = ndimage.binary_fill_holes(components == largest)
    return filled
