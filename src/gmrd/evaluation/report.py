"""One page to judge a method by: the table, and the best, median and worst case of every organ."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from gmrd.evaluation.crossvalidation import CrossValidation, FinishedRun
from gmrd.evaluation.scores import SCORES, ScoredCase
from gmrd.evaluation.tables import rows, spoken
from gmrd.io.atomic import replacing
from gmrd.io.orientation import UPRIGHT, reorient, reoriented_spacing
from gmrd.viz.pictures import grey_range, save_figure

RANKS = ("best", "median", "worst")

OUTLINES = {"truth": ("#56B4E9", "solid"), "prediction": ("#E69F00", "dashed")}

HEADINGS = {
    "dice": "Dice", "iou": "IoU", "hd95": "HD95 mm", "assd": "ASSD mm", "mssd": "MSSD mm",
    "ravd": "RAVD %",
}  # fmt: skip

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .2rem .7rem; text-align: right }
th { border-bottom: 1px solid #888 } td:first-child, th:first-child { text-align: left }
img { max-width: 100% } dl { display: grid; grid-template-columns: max-content auto; gap: 0 1rem }
"""


@dataclass(frozen=True)
class Panel:
    """A case to show: the slice with most of the organ, truth and prediction on it.

    ``aspect`` is the height of a pixel divided by its width.
    """

    title: str
    image: NDArray[np.floating]
    truth: NDArray[np.bool_]
    prediction: NDArray[np.bool_]
    aspect: float


def ranked(runs: Sequence[FinishedRun], organ: str) -> dict[str, tuple[FinishedRun, ScoredCase]]:
    """The best, median (the lower of two) and worst case by Dice, of the first seed."""
    seed = min(run.place[0] for run in runs)
    pairs = [
        (run, case)
        for run in runs
        if run.place[0] == seed
        for case in run.cases
        if case.organ == organ and not np.isnan(case.score.dice)
    ]
    pairs.sort(key=lambda pair: -pair[1].score.dice)
    return dict(zip(RANKS, (pairs[0], pairs[len(pairs) // 2], pairs[-1]), strict=True))


def panel(
    title: str,
    image: NDArray[np.floating],
    truth: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    affine: NDArray[np.floating],
) -> Panel:
    """Choose the slice of a (z, y, x) case; ``affine`` is nibabel's, of the (x, y, z) array."""
    # Upright, but axial slices keep their numbers.
    codes = UPRIGHT if "S" in aff2axcodes(affine) else UPRIGHT.replace("S", "I")
    shown = [reorient(volume, affine, codes) for volume in (image, truth, prediction)]
    _, height, width = reoriented_spacing(affine, codes)
    z = int(shown[1].sum(axis=(1, 2)).argmax())
    return Panel(f"{title}, z = {z}", *(volume[z] for volume in shown), aspect=height / width)


def cases_figure(panels: Mapping[str, Sequence[Panel]], title: str) -> Figure:
    """Organs in rows; best, median and worst in columns; truth solid, prediction dashed."""
    figure = Figure(figsize=(9.6, 3.4 * len(panels) + 0.9), layout="constrained")
    axes = figure.subplots(len(panels), len(RANKS), squeeze=False)
    for row, shown in zip(axes, panels.values(), strict=True):
        for axis, found in zip(row, shown, strict=True):
            _draw(axis, found)
    figure.suptitle(fill(title, 120), fontsize=9)
    lines = [Line2D([], [], color=colour, linestyle=style) for colour, style in OUTLINES.values()]
    figure.legend(lines, list(OUTLINES), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw(axis: Axes, found: Panel) -> None:
    low, high = grey_range(found.image)
    axis.imshow(found.image, cmap="gray", vmin=low, vmax=high, aspect=found.aspect)
    masks = (found.truth, found.prediction)
    for mask, (colour, style) in zip(masks, OUTLINES.values(), strict=True):
        if mask.any():
            axis.contour(mask, [0.5], colors=colour, linestyles=style, linewidths=1.3)
    axis.set_title(found.title, fontsize=8)
    axis.set_axis_off()


def write_page(
    result: CrossValidation,
    runs: Sequence[FinishedRun],
    figure: Figure | None,
    folder: Path,
) -> Path:
    """Write ``report.html``, which needs no other file, and ``cases.png``; returns the page."""
    parts = ["<h1>Cross-validation</h1>", _conditions(result), _table(result)]
    if figure is not None:
        picture = save_figure(figure, folder / "cases.png")
        data = base64.b64encode(picture.read_bytes()).decode()
        parts.append("<h2>Best, median and worst cases</h2>")
        parts.append(f'<img alt="cases" src="data:image/png;base64,{data}">')
    parts += ["<h2>All cases</h2>", _all_cases(runs)]
    head = f'<meta charset="utf-8"><title>Cross-validation</title><style>{STYLE}</style>'
    page = f"<!doctype html><html><head>{head}</head><body>{''.join(parts)}</body></html>\n"
    path = folder / "report.html"
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _conditions(result: CrossValidation) -> str:
    items = (
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>"
        for name, value in result.about.items()
    )
    return f"<dl>{''.join(items)}</dl><p>Mean ± standard deviation over folds and seeds.</p>"


def _table(result: CrossValidation) -> str:
    return _html_table(["", *map(spoken, result.organs)], rows(result))


def _all_cases(runs: Sequence[FinishedRun]) -> str:
    body = [
        [*map(str, run.place), spoken(case.organ), case.case_id, "+".join(case.support_ids)]
        + [_number(getattr(case.score, name)) for name in SCORES]
        for run in runs
        for case in run.cases
    ]
    scores = [HEADINGS[name] for name in SCORES]
    return _html_table(["seed", "fold", "organ", "case", "support", *scores], body)


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _html_table(heading: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line('th', heading)}{''.join(line('td', row) for row in body)}</table>"
