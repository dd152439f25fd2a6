"""Finished runs gathered: one table, its files and the page of cases; or conditions compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console
from rich.markup import escape

from gmrd.data.build import plain, read_split
from gmrd.data.split import Split
from gmrd.errors import InputError
from gmrd.evaluation import comparison
from gmrd.evaluation.crossvalidation import FinishedRun, cross_validate, find_runs
from gmrd.evaluation.evaluator import prediction_path
from gmrd.evaluation.report import Panel, cases_figure, panel, ranked, write_page
from gmrd.evaluation.scores import ScoredCase
from gmrd.evaluation.tables import rich_table, spoken, write_tables
from gmrd.io.readers import read_scan

console = Console()


def gather(source: Path, out: Path, *, with_page: bool) -> None:
    """Print and write the table of the runs below ``source``; the page too, if asked for."""
    runs = find_runs(source)
    result = cross_validate(runs)
    write_tables(result, out)
    console.print(rich_table(result))
    console.print(f"Tables: {out}/table.md, .csv, .json")
    if with_page:
        try:
            panels = panels_of(runs)
        except InputError as error:  # the runs may come from another folder or machine
            console.print(f"[yellow]no pictures of cases:[/] {escape(str(error))}")
            panels = {}
        figure = cases_figure(panels, result.title) if panels else None
        page = write_page(result, runs, figure, out)
        console.print(f"Page: {page}")


def compare(conditions: Mapping[str, Sequence[Path]], out: Path) -> None:
    """Print and write a row of Dice for each condition from the runs in its folders."""
    results = {
        condition: cross_validate([run for folder in folders for run in find_runs(folder)])
        for condition, folders in conditions.items()
    }
    comparison.write_comparison(results, out)
    console.print(comparison.rich_table(results))
    console.print(f"Comparison: {out}/comparison.md, .csv")


def panels_of(runs: list[FinishedRun]) -> dict[str, list[Panel]]:
    """For every organ its best, median and worst case; organs without predictions are left out."""
    organs = dict.fromkeys(case.organ for run in runs for case in run.cases)
    data_of = cache(_scored_data)
    found = {
        organ: [
            _panel(data_of(run.folder), run, case, f"{spoken(organ)}, {rank}: case {case.case_id}")
            for rank, (run, case) in ranked(runs, organ).items()
            if _prediction(run, case).is_file()
        ]
        for organ in organs
    }
    return {organ: panels for organ, panels in found.items() if len(panels) == 3}


def _prediction(run: FinishedRun, case: ScoredCase) -> Path:
    return prediction_path(run.folder, case.case_id, case.organ)


def _scored_data(folder: Path) -> Split:
    """The data that a run was scored on."""
    cfg: Any = OmegaConf.load(folder / "config.yaml")
    return read_split(plain(cfg.get("evaluation_data") or cfg.data))


def _panel(split: Split, run: FinishedRun, case: ScoredCase, title: str) -> Panel:
    query = next(found for found in split.test_cases if found.case_id == case.case_id)
    volume = split.data.volume(query)
    class_id = next(key for key, name in split.classes.items() if name == case.organ)
    prediction = read_scan(_prediction(run, case)).image
    title = f"{title}\nDice {100 * case.score.dice:.1f}"
    return panel(title, volume.image, volume.mask(class_id), prediction > 0, volume.affine)
