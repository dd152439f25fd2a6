"""The cross-validated table on the console and as Markdown, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from gmrd.evaluation.crossvalidation import Cell, CrossValidation
from gmrd.evaluation.names import spoken
from gmrd.io.atomic import replacing
from gmrd.io.csv_file import write_csv

# Score, heading, factor (fractions are shown in per cent).
SHOWN = (
    ("dice", "Dice %", 100.0),
    ("iou", "IoU %", 100.0),
    ("hd95", "HD95 mm", 1.0),
    ("assd", "ASSD mm", 1.0),
)


def rows(result: CrossValidation) -> list[list[str]]:
    """The table's body: a heading, then a cell for each organ and the mean."""
    body = [
        [heading, *(cell_text(cell, factor) for cell in result.cells[name].values())]
        for name, heading, factor in SHOWN
    ]
    if result.published:
        body.insert(1, ["published Dice %", *published_texts(result.published, result.organs)])
    return body


def published_texts(published: Mapping[str, float], organs: Iterable[str]) -> list[str]:
    """A cell for each organ, empty if nothing is published."""
    return [f"{published[organ]:.2f}" if organ in published else "" for organ in organs]


def cell_text(cell: Cell, factor: float) -> str:
    """Mean ± sd, and the number of cases without a defined score."""
    text = "–" if np.isnan(cell.mean) else f"{factor * cell.mean:.2f}"
    if not np.isnan(cell.sd):
        text += f" ± {factor * cell.sd:.2f}"
    return text + (f" ({cell.undefined} undefined)" if cell.undefined else "")


def rich_table(result: CrossValidation) -> Table:
    """For the console: a row per organ, to fit 80 columns."""
    body = rows(result)
    table = Table(
        title=escape(f"{result.title}; mean ± sd over folds and seeds"), title_justify="left",
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    for heading in ("", *(row[0] for row in body)):
        table.add_column(heading, justify="right" if heading else "left")
    for place, organ in enumerate(result.organs, 1):
        table.add_row(escape(spoken(organ)), *(row[place].replace(" ± ", "±") for row in body))
    return table


def markdown(result: CrossValidation) -> str:
    """The conditions and the table in Markdown."""
    lines = [f"- {name}: {value}" for name, value in result.about.items()]
    lines += ["", "Mean ± standard deviation over folds and seeds of the mean over cases.", ""]
    lines += ["| | " + " | ".join(result.organs) + " |", "|---" * (len(result.organs) + 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows(result)]
    return "\n".join(lines) + "\n"


def write_tables(result: CrossValidation, folder: Path) -> None:
    """Write ``table.md``, ``table.csv`` (a row per score and organ) and ``table.json``."""
    with replacing(folder / "table.md") as temporary:
        temporary.write_text(markdown(result))
    content = {
        "about": dict(result.about),
        "scores": {
            name: {organ: _plain(cell) for organ, cell in row.items()}
            for name, row in result.cells.items()
        },
        "published_dice_per_cent": dict(result.published),
    }
    with replacing(folder / "table.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
    records = [record(result, name, organ) for name, row in result.cells.items() for organ in row]
    write_csv(folder / "table.csv", records)


def record(result: CrossValidation, name: str, organ: str) -> dict[str, object]:
    """One score of one organ as a row with its conditions."""
    published = result.published.get(organ) if name == "dice" else None
    return {
        "score": name, "organ": organ, **_plain(result.cells[name][organ]),
        "published": None if published is None else round(published / 100, 6), **result.about,
    }  # fmt: skip


def _plain(cell: Cell) -> dict[str, float | int | None]:
    """The cell with None for nan, which JSON lacks."""
    return {k: None if np.isnan(v) else v for k, v in asdict(cell).items()}
