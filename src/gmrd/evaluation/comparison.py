"""Comparison of conditions, such as ablations: a row each, with Dice per organ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from gmrd.evaluation.crossvalidation import CrossValidation
from gmrd.evaluation.names import spoken
from gmrd.evaluation.tables import cell_text, published_texts, record
from gmrd.io.atomic import replacing
from gmrd.io.csv_file import write_csv

Conditions = Mapping[str, CrossValidation]
"""Each condition's name, and its result over all folds and seeds."""


def shared(conditions: Conditions) -> dict[str, object]:
    """What all conditions share, for the heading."""
    first, *others = (result.about for result in conditions.values())
    return {
        name: value
        for name, value in first.items()
        if all(about.get(name) == value for about in others)
    }


def rows(conditions: Conditions) -> list[list[str]]:
    """The table's body: each condition with its individual settings, then Dice in per cent.

    A mean over fewer organs than the other conditions' is omitted.
    """
    organs = _organs(conditions)
    same = shared(conditions)
    body = []
    for condition, result in conditions.items():
        own = [f"{name} {value}" for name, value in result.about.items() if name not in same]
        known = dict(result.cells["dice"])
        if len(known) < len(organs):
            known.pop("mean")
        cells = [cell_text(known[organ], 100.0) if organ in known else "–" for organ in organs]
        body.append([", ".join([condition, *own]), *cells])
    published = next(iter(conditions.values())).published
    if published and all(result.published == published for result in conditions.values()):
        body.append(["published", *published_texts(published, organs)])
    return body


def rich_table(conditions: Conditions) -> Table:
    """For the console."""
    table = Table(
        title=escape(_title(conditions)), title_justify="left",
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    table.add_column("Dice %", overflow="fold")
    for organ in _organs(conditions):
        table.add_column(spoken(organ), justify="right", no_wrap=True)
    for condition, *cells in rows(conditions):
        table.add_row(escape(condition), *(cell.replace(" ± ", "±") for cell in cells))
    return table


def write_comparison(conditions: Conditions, folder: Path) -> None:
    """Write ``comparison.md`` and ``comparison.csv`` (a row per condition, score and organ)."""
    heading = ["Dice %", *map(spoken, _organs(conditions))]
    body = [heading, ["---"] * len(heading), *rows(conditions)]
    lines = [_title(conditions), "", *("| " + " | ".join(row) + " |" for row in body)]
    with replacing(folder / "comparison.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    records = [
        {"condition": condition} | record(result, name, organ)
        for condition, result in conditions.items()
        for name, row in result.cells.items()
        for organ in row
    ]
    write_csv(folder / "comparison.csv", records)


def _organs(conditions: Conditions) -> list[str]:
    """All organs scored under any condition, then the mean."""
    named = dict.fromkeys(organ for result in conditions.values() for organ in result.organs)
    return [*(organ for organ in named if organ != "mean"), "mean"]


def _title(conditions: Conditions) -> str:
    about = ", ".join(f"{name} {value}" for name, value in shared(conditions).items())
    return f"{about}; mean ± sd over folds and seeds"
