"""Intensity ranks within the body, which are comparable between scans and modalities."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage
from scipy.special import ndtri
from skimage.filters import threshold_otsu

UNIT = 12**0.5
"""Uniform ranks times this have a variance of 1."""

SMOOTHING_PX = 2.0
"""Standard deviation of the in-plane smoothing before thresholding, which suppresses noise."""
CLOSED_PX = 4
OPENED_PX = 2
TAIL = 0.003
"""Ranks closer to 0 or 1 than this have the same normal score."""
WIDEST = float(ndtri(1 - TAIL))
"""The largest normal score."""


def body_mask(image: Float32[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    """The patient's body without the surrounding air, with holes filled slice by slice.

    Otsu's threshold is applied to the logarithms of the intensities: on the intensities themselves,
    a bright stomach could move it above dark fat. The largest connected component is kept. In a
    volume without contrast, everything is body.
    """
    smooth = ndimage.gaussian_filter(
        image.astype(np.float32) - image.min(), (0, SMOOTHING_PX, SMOOTHING_PX)
    )
    # Padding at the minimum is not air: it would form a class of its own.
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
    """For each voxel, the share of body voxels that are darker, 0 to 1; ties share their mean.

    Ranks are invariant under strictly increasing maps of the intensities.
    """
    known = np.sort(image[body])
    below = np.searchsorted(known, image, side="left")
    not_above = np.searchsorted(known, image, side="right")
    return ((below + not_above) / (2 * len(known))).astype(np.float32)


def standardised_ranks(image: Float32[np.ndarray, "z y x"]) -> Float32[np.ndarray, "z y x"]:
    """Ranks within the body with mean 0 and variance 1, instead of z-scores."""
    return np.asarray(UNIT * (ranks(image, body_mask(image)) - 0.5), dtype=np.float32)


def _filled(piece: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    padded = np.pad(piece, CLOSED_PX)
    closed = ndimage.binary_closing(padded, iterations=CLOSED_PX)
    inner = slice(CLOSED_PX, -CLOSED_PX)
    return np.asarray(ndimage.binary_fill_holes(closed[inner, inner]))


def normal_scores(ranks: Float32[np.ndarray, "z y x"]) -> Float32[np.ndarray, "z y x"]:
    """The standard normal quantile of every rank (0 to 1): mean 0, variance about 1.

    In many sequences the kidneys, the spleen and fluids are among the brightest few per cent of
    the body. Their ranks differ by hundredths only, their normal scores as much as others'.
    """
    return np.asarray(ndtri(np.clip(ranks, TAIL, 1 - TAIL)), dtype=np.float32)
