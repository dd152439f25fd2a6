"""Scores by case, organ and method: computed, averaged, written and read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.table import Table

from gmrd.errors import InputError
from gmrd.evaluation.metrics import CaseScore
from gmrd.evaluation.names import spoken
from gmrd.io.atomic import replacing
from gmrd.io.csv_file import write_csv

SCORE_AGAIN = "score the run again with gmrd-evaluate, or move its folder away"
"""The remedy for files of scores that are damaged."""

SCORES = tuple(field.name for field in fields(CaseScore))


@dataclass(frozen=True)
class ScoredCase:
    """One organ of one query case, segmented by one method."""

    method: str
    organ: str
    case_id: str
    support_ids: tuple[str, ...]
    score: CaseScore

    def row(self) -> dict[str, str | float]:
        """The case as a flat record."""
        record: dict[str, str | float] = {
            "method": self.method,
            "organ": self.organ,
            "case": self.case_id,
            "support": "+".join(self.support_ids),
        }
        return record | asdict(self.score)


def mean_score(cases: Iterable[ScoredCase], name: str) -> float:
    """Mean over the cases with a defined score; nan if there are none."""
    values = np.array([getattr(case.score, name) for case in cases])
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")


def per_organ(cases: Sequence[ScoredCase], name: str) -> dict[str, float]:
    """Mean over cases for every organ, then ``mean`` over the organs, as usual in the field."""
    organs = list(dict.fromkeys(case.organ for case in cases))
    means = {organ: mean_score((c for c in cases if c.organ == organ), name) for organ in organs}
    known = [value for value in means.values() if not np.isnan(value)]
    return means | {"mean": float(np.mean(known)) if known else float("nan")}


def rich_table(cases: Sequence[ScoredCase], title: str) -> Table:
    """Dice and IoU in per cent, with a row per organ and a column per method."""
    table = Table(title=escape(title), title_justify="left")
    table.add_column("")
    by_method = {
        method: [case for case in cases if case.method == method]
        for method in dict.fromkeys(case.method for case in cases)
    }
    means = [(per_organ(of, "dice"), per_organ(of, "iou")) for of in by_method.values()]
    for method in by_method:
        table.add_column(escape(f"{method}\nDice    IoU"), justify="right", no_wrap=True)
    for organ in [*dict.fromkeys(case.organ for case in cases), "mean"]:
        found = [(dice.get(organ, np.nan), iou.get(organ, np.nan)) for dice, iou in means]
        cells = [f"{100 * dice:5.1f}  {100 * iou:5.1f}" for dice, iou in found]
        table.add_row(escape(spoken(organ)), *cells)
    return table


def write_scores(
    cases: Sequence[ScoredCase],
    folder: Path,
    *,
    about: Mapping[str, object],
    decided_by: Mapping[str, object],
) -> None:
    """Write ``scores.csv`` (a row per case) and ``summary.json`` (means and their conditions).

    Args:
        cases: the scored cases.
        folder: where to write.
        about: the conditions, to be stated with the scores.
        decided_by: all other settings that the scores depend on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["method", "organ", "case", "support", *SCORES]
    write_csv(folder / "scores.csv", [case.row() for case in cases], columns)
    methods = dict.fromkeys(case.method for case in cases)
    summary = {
        "about": dict(about),
        "decided_by": dict(decided_by),
        "methods": {
            method: {
                name: per_organ([c for c in cases if c.method == method], name) for name in SCORES
            }
            for method in methods
        },
    }
    with replacing(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n")


def read_scores(path: Path) -> list[ScoredCase]:
    """Read a ``scores.csv`` written by :func:`write_scores`.

    Raises:
        InputError: it is damaged.
    """
    try:
        with path.open(newline="") as file:
            return [_scored(row) for row in csv.DictReader(file)]
    except (AttributeError, LookupError, OSError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path} is damaged ({error}): {SCORE_AGAIN}") from error


def _scored(row: Mapping[str, str]) -> ScoredCase:
    return ScoredCase(
        method=row["method"],
        organ=row["organ"],
        case_id=row["case"],
        support_ids=tuple(row["support"].split("+")),
        score=CaseScore(**{name: float(row[name]) for name in SCORES}),
    )
