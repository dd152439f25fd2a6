"""A contact sheet: every case in one picture, so that an odd one catches the eye."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gmrd.atomic import replacing
from gmrd.data.inspection.findings import Portrait


def contact_sheet(
    path: Path, portraits: Sequence[Portrait], classes: Mapping[int, str], *, columns: int = 5
) -> None:
    """Write a PNG with the most labelled slice of every case, its classes tinted.

    Rows run downwards and columns to the right as they lie in the arrays that training reads.
    """
    shown = [p for p in portraits if p.picture is not None]
    columns = max(2, min(columns, len(shown)))
    rows = max(1, math.ceil(len(shown) / columns))
    figure = Figure(figsize=(2.4 * columns, 2.6 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, portrait in zip(axes, shown, strict=False):
        assert portrait.picture is not None
        image, label = portrait.picture
        low, high = np.percentile(image, [1, 99.5])
        axis.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6))
        axis.imshow(_tint(label, classes))
        worst = {finding.severity for finding in portrait.findings}
        mark = " (!)" if worst & {"error", "warning"} else ""
        axis.set_title(f"{portrait.case_id}{mark}  {portrait.orientation}", fontsize=8)
    handles = [Patch(color=_colour(i), label=name) for i, name in enumerate(classes.values())]
    figure.legend(handles=handles, loc="outside lower center", ncols=max(len(handles), 1))
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def _colour(position: int) -> tuple[float, float, float, float]:
    red, green, blue, _ = colormaps["tab10"](position % 10)
    return red, green, blue, 0.55


def _tint(label: np.ndarray, classes: Mapping[int, str]) -> np.ndarray:
    tint = np.zeros((*label.shape, 4))
    for position, class_id in enumerate(classes):
        tint[label == class_id] = _colour(position)
    return tint
