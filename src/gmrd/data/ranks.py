"""Intensities made comparable between scans of any modality: their rank within the body."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage
from skimage.filters import threshold_otsu

SMOOTHING_PX = 2.0
"""Deviation of the in-plane smoothing before the threshold: noise outside must not join."""
CLOSED_PX = 4
OPENED_PX = 2


def body_mask(image: Float32[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    """The patient without the air around, in every slice filled.

    Otsu's threshold between the logarithms of the intensities: air and dark fat are told apart
    where a bright stomach would pull a threshold on the intensities themselves above the fat.
    The largest connected piece is kept. A volume in which nothing stands out is all body.
    """
    smooth = ndimage.gaussian_filter(
        image.astype(np.float32) - image.min(), (0, SMOOTHING_PX, SMOOTHING_PX)
    )
    # Padding, at the very minimum, is not air: it would take a class of its own.
    values = (image - image.min())[image > image.min()].astype(np.float64)
    if values.size < 2 or values.min() == values.max():
        return np.ones(image.shape, dtype=bool)
    floor = np.percentile(values, 5)
    mask = smooth > np.exp(threshold_otsu(np.log(values + floor))) - floor
    mask = np.stack([ndimage.binary_opening(piece, iterations=OPENED_PX) for piece in mask])
    pieces, n_pieces = ndimage.label(mask)
    if n_pieces == 0:
        return np.ones(image.shape, dtype=bool)
    largest = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    return np.stack([_filled(piece) for piece in largest])


def ranks(
    image: Float32[np.ndarray, "z y x"], body: Bool[np.ndarray, "z y x"]
) -> Float32[np.ndarray, "z y x"]:
    """Every voxel's share of body voxels that are darker, 0 to 1; ties get their middle.

    A strictly increasing change of the intensities leaves the ranks as they are, whatever the
    scanner's scale.
    """
    known = np.sort(image[body])
    below = np.searchsorted(known, image, side="left")
    not_above = np.searchsorted(known, image, side="right")
    return ((below + not_above) / (2 * len(known))).astype(np.float32)


def _filled(piece: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    padded = np.pad(piece, CLOSED_PX)
    closed = ndimage.binary_closing(padded, iterations=CLOSED_PX)
    inner = slice(CLOSED_PX, -CLOSED_PX)
    return np.asarray(ndimage.binary_fill_holes(closed[inner, inner]))
