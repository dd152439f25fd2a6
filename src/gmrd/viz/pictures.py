"""Pictures to assess a segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gmrd.io.atomic import replacing

matplotlib.use("Agg", force=False)

# Distinguishable with the common colour-vision deficiencies (Okabe & Ito, 2008).
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999")

MARGIN = 0.4
"""Inches above for the title, and below for the legend."""

ENOUGH = 2**24
"""Size of a sample of voxels whose percentiles are taken for those of the scan."""

Image = NDArray[np.floating]
Labels = NDArray[np.integer]


def side_by_side(
    path: Path,
    image: Image,
    columns: Mapping[str, Labels],
    names: Mapping[int, str],
    *,
    slices: Sequence[int] | None = None,
    title: str = "",
    aspect: float = 1.0,
    grey: tuple[float, float] | None = None,
) -> None:
    """Write a PNG of axial slices: the image, then the image under each label map.

    Args:
        path: where to write.
        image: (z, y, x).
        columns: heading to (z, y, x) label map, for example truth and prediction.
        names: label value to organ name, for the legend.
        slices: which z to show; by default five, spread over the labelled extent.
        title: of the picture.
        aspect: height of a pixel divided by its width.
        grey: values shown as black and white; see :func:`grey_range`.
    """
    chosen = slices if slices is not None else _spread(list(columns.values()), image.shape[0])
    low, high = grey or grey_range(image)
    shape = np.clip(aspect * image.shape[1] / image.shape[2], 0.4, 2.5)
    height = 2.6 * shape * len(chosen) + 2 * MARGIN
    figure = Figure(figsize=(2.6 * (1 + len(columns)), height))
    axes = figure.subplots(len(chosen), 1 + len(columns), squeeze=False)
    for row, z in zip(axes, chosen, strict=True):
        for axis, (heading, labels) in zip(row, [("image", None), *columns.items()], strict=True):
            axis.imshow(image[z], cmap="gray", vmin=low, vmax=high, aspect=aspect)
            if labels is not None:
                draw_labels(axis, labels[z], names, aspect)
            axis.set_axis_off()
            if z == chosen[0]:
                axis.set_title(heading)
        row[0].text(3, 3, f"z = {z}", color="white", fontsize=7, va="top")
    handles = legend_handles(names)
    figure.legend(handles=handles, loc="lower center", ncols=min(len(handles), 6), frameon=False)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout(rect=(0, MARGIN / height, 1, 1))
    save_figure(figure, path)


def grey_range(image: Image) -> tuple[float, float]:
    """The values to show as black and white, without outliers; a long scan is sampled."""
    some = image[:: max(1, image.size // ENOUGH)]  # percentiles copy what they are given
    low, high = (float(value) for value in np.percentile(some, [1, 99.5]))
    return low, max(high, low + 1e-6)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a PNG; returns its path."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")
    return path


def _spread(labels: Sequence[Labels], n_slices: int, count: int = 5) -> list[int]:
    present = np.flatnonzero(np.any([[piece.any() for piece in map_] for map_ in labels], axis=0))
    if present.size == 0:
        present = np.arange(n_slices)
    return [int(z) for z in np.unique(present[np.linspace(0, present.size - 1, count).astype(int)])]


def colour_of(label: int) -> str:
    """The colour of a label value in all pictures."""
    return COLOURS[(label - 1) % len(COLOURS)]


def draw_labels(axis: Axes, labels: Labels, names: Mapping[int, str], aspect: float = 1) -> None:
    """Organs as light tints with sharp outlines, so that the image remains visible."""
    tint = np.zeros((*labels.shape, 4))
    for label in names:
        tint[labels == label] = (*matplotlib.colors.to_rgb(colour_of(label)), 0.3)
        if (labels == label).any() and min(labels.shape) > 1:
            axis.contour(labels == label, [0.5], colors=colour_of(label), linewidths=1.0)
    axis.imshow(tint, aspect=aspect)


def legend_handles(names: Mapping[int, str]) -> list[matplotlib.patches.Patch]:
    """The legend's entries for the organs."""
    return [
        matplotlib.patches.Patch(color=colour_of(label), label=name)
        for label, name in names.items()
    ]
