"""Conditions side by side: what they share in the heading, what they do not in their rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from gmrd.evaluation.comparison import Conditions, rich_table, rows, shared, write_comparison
from gmrd.evaluation.crossvalidation import cross_validate, find_runs
from helpers.files import csv_rows
from helpers.runs import scored, write_run


@pytest.fixture
def conditions(tmp_path: Path) -> Conditions:
    """Two folds in full; one fold of another variant, without the spleen."""
    for fold, dice in enumerate((0.8, 0.6)):
        cases = [scored("liver", str(fold), dice), scored("spleen", str(fold), 0.5)]
        write_run(tmp_path / "full" / str(fold), cases, fold=fold, n_folds=2)
    write_run(tmp_path / "small", [scored("liver", "0", 0.4)], variant="head")
    return {
        "experiment=full": cross_validate(find_runs(tmp_path / "full")),
        "network=[small]": cross_validate(find_runs(tmp_path / "small")),
    }


def test_what_differs_is_in_the_row_and_what_does_not_in_the_heading(
    conditions: Conditions,
) -> None:
    assert {"data", "setting", "protocol", "seeds"} <= shared(conditions).keys()
    assert not {"variant", "folds", "distinct scored cases"} & shared(conditions).keys()
    full, small, published = rows(conditions)
    assert full[0] == "experiment=full, variant paper, folds 0 1, distinct scored cases 2"
    assert full[1:] == ["70.00 ± 14.14", "50.00 ± 0.00", "60.00 ± 7.07"]
    assert small[0].startswith("network=[small], variant head, folds 0,")
    assert small[1:] == ["40.00", "–", "–"], "a mean of one organ is no match for one of two"
    assert published[0] == "published"
    assert float(published[1]) > 50
    assert published[-1] == "", "its mean is over organs that are not here"


def test_on_the_console_brackets_are_kept(conditions: Conditions) -> None:
    console = Console(width=100)
    with console.capture() as printed:
        console.print(rich_table(conditions))
    assert "network=[small]" in printed.get()
    assert "70.00±14.14" in printed.get()


def test_the_files_hold_every_score_of_every_condition(
    conditions: Conditions, tmp_path: Path
) -> None:
    write_comparison(conditions, tmp_path)
    records = csv_rows(tmp_path / "comparison.csv")
    assert {row["condition"] for row in records} == conditions.keys()
    assert {row["score"] for row in records} == {"dice", "iou", "hd95", "assd", "mssd", "ravd"}
    lines = (tmp_path / "comparison.md").read_text().splitlines()
    assert lines[2] == "| Dice % | liver | spleen | mean |"
    assert len({line.count("|") for line in lines[2:]}) == 1
