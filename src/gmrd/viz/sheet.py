"""A contact sheet: every case in one picture, so that an odd one catches the eye."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from gmrd.data.inspection.findings import Portrait
from gmrd.viz.pictures import draw_labels, grey_range, legend_handles, save_figure


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
        low, high = grey_range(image)
        axis.imshow(image, cmap="gray", vmin=low, vmax=high)
        draw_labels(axis, label, classes)
        worst = {finding.severity for finding in portrait.findings}
        mark = " (!)" if worst & {"error", "warning"} else ""
        axis.set_title(f"{portrait.case_id}{mark}  {portrait.orientation}", fontsize=8)
    handles = legend_handles(classes)
    figure.legend(handles=handles, loc="outside lower center", ncols=max(len(handles), 1))
    save_figure(figure, path)
