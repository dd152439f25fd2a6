"""Finished runs gathered: one table, its files, and the page of cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.console import Console

from gmrd.crossvalidation import FinishedRun, cross_validate, find_runs
from gmrd.data.volume import read_image
from gmrd.evaluation import prediction_path
from gmrd.report import Panel, cases_figure, panel, ranked, write_page
from gmrd.results import ScoredCase
from gmrd.tables import rich_table, spoken, write_tables

console = Console()


def gather(source: Path, out: Path, *, with_page: bool) -> None:
    """Print and write the table of the runs below ``source``; the page too, if asked for."""
    runs = find_runs(source)
    result = cross_validate(runs)
    write_tables(result, out)
    console.print(rich_table(result))
    console.print(f"Tables: {out}/table.md, .csv, .json")
    if with_page:
        panels = panels_of(runs)
        figure = cases_figure(panels, result.title) if panels else None
        page = write_page(result, runs, figure, out)
        console.print(f"Page: {page}")


def panels_of(runs: list[FinishedRun]) -> dict[str, list[Panel]]:
    """For every organ its best, median and worst case; organs without predictions are left out."""
    organs = dict.fromkeys(case.organ for run in runs for case in run.cases)
    found = {
        organ: [
            _panel(run, case, f"{spoken(organ)}, {rank}: case {case.case_id}")
            for rank, (run, case) in ranked(runs, organ).items()
            if _prediction(run, case).is_file()
        ]
        for organ in organs
    }
    return {organ: panels for organ, panels in found.items() if len(panels) == 3}


def _prediction(run: FinishedRun, case: ScoredCase) -> Path:
    return prediction_path(run.folder, case.case_id, case.organ)


def _panel(run: FinishedRun, case: ScoredCase, title: str) -> Panel:
    cfg: Any = OmegaConf.load(run.folder / "config.yaml")
    data = instantiate(cfg.get("evaluation_data") or cfg.data)
    query = next(found for found in data.test_cases if found.case_id == case.case_id)
    volume = data.volume(query)
    class_id = next(key for key, name in data.classes.items() if name == case.organ)
    prediction = read_image(_prediction(run, case))[0]
    title = f"{title}\nDice {100 * case.score.dice:.1f}"
    return panel(title, volume.image, volume.label == class_id, prediction > 0, volume.affine)
