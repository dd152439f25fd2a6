"""A slice of a label map as a paintable picture, and a painted picture as labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, Num, UInt8
from matplotlib.colors import to_rgb

from gmrd.viz.pictures import COLOURS, colour_of

SIDE = 768
"""Side of a picture in pixels. A slice is enlarged by an integer factor, in the upper left corner.

All pictures have the same size, because Gradio's editor loses them when its canvas changes size.
"""
TINT = 150
"""Opacity of existing labels, 0 to 255."""
PAINTED = 75
"""Opacity from which a pixel counts as painted; brushes have soft edges."""
MOST_ORGANS = len(COLOURS)
"""Organs that have distinct colours."""


def factor(shape: tuple[int, ...]) -> int:
    """Pixels per voxel side in the picture; 0 if the slice is too large."""
    return SIDE // max(shape)


def grey_picture(
    image: Num[np.ndarray, "y x"], grey: tuple[float, float]
) -> UInt8[np.ndarray, "h w 4"]:
    """An opaque greyscale slice; ``grey`` holds the values shown as black and white."""
    low, high = grey
    shade = np.clip((image - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    opaque = np.full_like(shade, 255)
    return _enlarged(np.stack([shade, shade, shade, opaque], axis=-1))


def tint(labels: Integer[np.ndarray, "y x"], values: Sequence[int]) -> UInt8[np.ndarray, "h w 4"]:
    """Organs in their colours, transparent elsewhere."""
    picture = np.zeros((*labels.shape, 4), dtype=np.uint8)
    for value in values:
        picture[labels == value] = (*_colour(value), TINT)
    return _enlarged(picture)


def painted(
    layers: Sequence[UInt8[np.ndarray, "h w 4"]],
    values: Sequence[int],
    shape: tuple[int, int],
) -> Integer[np.ndarray, "y x"]:
    """The labels of painted layers, in order from bottom to top, by the nearest organ colour."""
    step, labels = factor(shape), np.zeros(shape, dtype=np.int32)
    colours = np.array([_colour(value) for value in values], dtype=np.int32)
    for layer in layers:
        rows, columns = (
            ((np.arange(n) + 0.5) * step * size / SIDE).astype(int)  # voxel centres
            for n, size in zip(shape, layer.shape[:2], strict=True)
        )
        sampled = layer[np.ix_(rows, columns)]
        distance = np.abs(sampled[:, :, None, :3].astype(np.int32) - colours).sum(axis=-1)
        nearest = np.asarray(values)[distance.argmin(axis=-1)]
        labels = np.where(sampled[..., 3] >= PAINTED, nearest, labels)
    return labels


def _colour(value: int) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in to_rgb(colour_of(value)))
    return red, green, blue


def _enlarged(picture: UInt8[np.ndarray, "y x 4"]) -> UInt8[np.ndarray, "h w 4"]:
    step = factor(picture.shape[:2])
    large = picture.repeat(step, axis=0).repeat(step, axis=1)
    rows, columns = (SIDE - size for size in large.shape[:2])
    return np.pad(large, ((0, rows), (0, columns), (0, 0)))
