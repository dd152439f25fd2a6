"""An HTML page to assess a method: the table, a figure of cases, and all scores."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gmrd.evaluation.crossvalidation import CrossValidation, FinishedRun
from gmrd.evaluation.names import spoken
from gmrd.evaluation.scores import SCORES
from gmrd.evaluation.tables import rows
from gmrd.io.atomic import replacing
from gmrd.viz.pictures import save_figure

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


def write_page(
    result: CrossValidation,
    runs: Sequence[FinishedRun],
    figure: Figure | None,
    folder: Path,
) -> Path:
    """Write the self-contained ``report.html`` and ``cases.png``; return the page."""
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
