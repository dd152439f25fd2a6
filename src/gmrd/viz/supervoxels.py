"""A picture to assess supervoxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from matplotlib import colormaps
from matplotlib.figure import Figure

from gmrd.viz.pictures import grey_range, save_figure

N_SLICES = 6
GOLDEN_RATIO = 0.6180339887


def draw_overlay(
    path: Path,
    image: Real[np.ndarray, "z y x"],
    labels: Int[np.ndarray, "z y x"],
    *,
    title: str = "",
) -> None:
    """Write a PNG of axial slices, without and with tinted and outlined supervoxels.

    Args:
        path: Where to write.
        image: Grey values in any unit.
        labels: Supervoxels, 0 for background.
        title: Of the picture.
    """
    body = np.flatnonzero(labels.any(axis=(1, 2)))
    body = body if body.size else np.arange(len(labels))
    chosen = np.unique(body[np.linspace(0, body.size - 1, N_SLICES + 2).astype(int)[1:-1]])
    low, high = grey_range(image)
    figure = Figure(figsize=(2.4 * chosen.size, 5.2), layout="constrained")
    axes = figure.subplots(2, chosen.size, squeeze=False)
    for column, z in zip(axes.T, chosen, strict=True):
        for axis in column:
            axis.imshow(image[z], cmap="gray", vmin=low, vmax=high)
            axis.set_axis_off()
        column[1].imshow(_tint(labels[z]))
        column[0].set_title(f"z = {z}", fontsize=8)
    n_supervoxels = np.unique(labels[labels > 0]).size
    figure.suptitle(f"{title}: {n_supervoxels} supervoxels", fontsize=10)
    save_figure(figure, path)


def _tint(labels: Int[np.ndarray, "y x"]) -> Float[np.ndarray, "y x 4"]:
    # Steps of the golden ratio keep the hues of neighbouring label values far apart.
    tint: Float[np.ndarray, "y x 4"] = colormaps["hsv"](labels * GOLDEN_RATIO % 1.0)
    tint[..., 3] = np.where(labels == 0, 0.0, np.where(_outline(labels), 0.9, 0.25))
    return tint


def _outline(labels: Int[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    edge = np.zeros(labels.shape, dtype=bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    return edge
