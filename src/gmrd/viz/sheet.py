"""A contact sheet: all cases in one picture, to spot unusual ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Num
from matplotlib.figure import Figure

from gmrd.viz.pictures import draw_labels, grey_range, legend_handles, save_figure


class Tile(NamedTuple):
    """A slice with its labels and title."""

    title: str
    image: Num[np.ndarray, "y x"]
    label: Num[np.ndarray, "y x"]


def contact_sheet(
    path: Path, tiles: Sequence[Tile], classes: Mapping[int, str], *, columns: int = 5
) -> None:
    """Write a PNG with all slices and their classes tinted.

    Rows run downwards and columns to the right, as in the arrays that training reads.
    """
    columns = max(2, min(columns, len(tiles)))
    rows = max(1, math.ceil(len(tiles) / columns))
    figure = Figure(figsize=(2.4 * columns, 2.6 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, tile in zip(axes, tiles, strict=False):
        low, high = grey_range(tile.image)
        axis.imshow(tile.image, cmap="gray", vmin=low, vmax=high)
        draw_labels(axis, tile.label, classes)
        axis.set_title(tile.title, fontsize=8)
    handles = legend_handles(classes)
    figure.legend(handles=handles, loc="outside lower center", ncols=max(len(handles), 1))
    save_figure(figure, path)
