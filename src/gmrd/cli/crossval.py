"""gmrd-crossval: every fold and seed trained and scored, and one table of them all."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from gmrd.cli.console import command
from gmrd.cli.jobs import Job, run_jobs
from gmrd.crossvalidation import FinishedRun, cross_validate, find_runs
from gmrd.data.volume import read_image
from gmrd.report import Panel, cases_figure, panel, ranked, write_page
from gmrd.results import ScoredCase
from gmrd.tables import rich_table, spoken, write_tables

OWN = ("folds", "seeds", "groups", "collect", "n_jobs", "devices", "page", "out")
"""Keys of this command that gmrd-train does not have."""

SET = ("fold", "seed", "data.group", "ckpt_path", "evaluation.save_predictions")
"""Keys that this command sets for every training."""

console = Console()


def plan(cfg: DictConfig, folder: Path, overrides: list[str]) -> list[Job]:
    """The trainings: seeds × folds × groups of test organs."""
    given = [o for o in overrides if o.split("=")[0].lstrip("+~") not in (*OWN, *SET)]
    n_groups = len(cfg.data.test_groups) if cfg.setting == 2 else 1
    groups = list(range(n_groups)) if cfg.groups is None else cfg.groups
    return [
        Job(
            folder=folder / f"seed_{seed}" / f"fold_{fold}" / f"group_{group}",
            overrides=(*given, f"seed={seed}", f"fold={fold}", f"data.group={group}"),
        )
        for seed in cfg.seeds
        for fold in cfg.folds
        for group in groups
    ]


def gather(source: Path, out: Path, *, with_page: bool) -> None:
    """Print and write the table of the runs below ``source``; the page too, if asked for."""
    runs = find_runs(source)
    result = cross_validate(runs)
    write_tables(result, out)
    console.print(rich_table(result))
    figure = cases_figure(panels_of(runs), result.title) if with_page else None
    page = write_page(result, runs, figure, out)
    console.print(f"Tables: {out}/table.md, .csv, .json. Page: {page}")


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
    return run.folder / "predictions" / f"prediction_{case.case_id}.nii.gz"


def _panel(run: FinishedRun, case: ScoredCase, title: str) -> Panel:
    cfg = OmegaConf.load(run.folder / "config.yaml")
    data = instantiate(cfg.evaluation_data or cfg.data)
    query = next(found for found in data.test_cases if found.case_id == case.case_id)
    volume = data.volume(query)
    class_id = next(key for key, name in data.classes.items() if name == case.organ)
    prediction = read_image(_prediction(run, case))[0]
    title = f"{title}\nDice {100 * case.score.dice:.1f}"
    truth, predicted = volume.label == class_id, np.rint(prediction) == class_id
    return panel(title, volume.image, truth, predicted, volume.affine)


@command("crossval")
def main(cfg: DictConfig) -> None:
    """Console entry point; exit status 1 if a training failed."""
    out = Path(HydraConfig.get().runtime.output_dir)
    if cfg.collect is not None:
        gather(Path(cfg.collect), out, with_page=cfg.page)
        return
    jobs = plan(cfg, out, list(HydraConfig.get().overrides.task))
    failed = run_jobs(jobs, n_jobs=cfg.n_jobs, devices=cfg.devices, console=console)
    if len(failed) < len(jobs):
        gather(out, out, with_page=cfg.page)
    for job, status in failed:
        console.print(f"[bold red]failed[/] (status {status}): {job.folder}, see {job.log}")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
