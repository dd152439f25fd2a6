"""gmrd-crossval: train and score every fold and seed, and collect the scores in one table."""

from __future__ import annotations

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from gmrd.cli.console import command
from gmrd.errors import InputError
from gmrd.evaluation.jobs import Job, key_of, run_jobs

OWN = ("folds", "seeds", "groups", "collect", "n_jobs", "devices", "page", "out")
"""Keys of this command that gmrd-train does not have."""

SET = {"fold": "folds=[0]", "seed": "seeds=[0]", "data.group": "groups=[0]", "ckpt_path": "out=..."}
"""Keys that this command sets for each training, and what to set instead."""

console = Console()


def plan(cfg: DictConfig, folder: Path, overrides: list[str]) -> list[Job]:
    """The training jobs: seeds × folds × groups of test organs.

    Raises:
        InputError: there is nothing to train.
    """
    given = [o for o in overrides if key_of(o) not in OWN]
    n_groups = len(cfg.data.test_groups) if cfg.setting == 2 else 1
    groups = list(range(n_groups)) if cfg.groups is None else cfg.groups
    jobs = [
        Job(
            folder=folder / f"seed_{seed}" / f"fold_{fold}" / f"group_{group}",
            overrides=(*given, f"seed={seed}", f"fold={fold}", f"data.group={group}"),
        )
        for seed in dict.fromkeys(cfg.seeds)
        for fold in dict.fromkeys(cfg.folds)
        for group in dict.fromkeys(groups)
    ]
    if not jobs:
        raise InputError(
            f"folds={cfg.folds}, seeds={cfg.seeds} and groups={groups} leave nothing to train: "
            "give at least one of each"
        )
    return jobs


def refuse_early(cfg: DictConfig, overrides: list[str]) -> None:
    """Refuse once, before any training, what one of the trainings would refuse.

    Raises:
        InputError: the data cannot be read, a fold does not exist, or a setting is one that this
            command sets itself.
    """
    from gmrd.data.build import plain, read_split

    for override in overrides:
        if key_of(override) in SET:
            raise InputError(
                f"{override}: gmrd-crossval sets {key_of(override)} for each training: use "
                f"{SET[key_of(override)]} instead"
            )
    for settings in filter(None, (cfg.data, cfg.evaluation_data)):
        for fold in cfg.folds:
            _ = read_split({**plain(settings), "fold": fold}).test_cases


@command("crossval")
def main(cfg: DictConfig) -> None:
    """Console entry point; exit status 1 if a training failed."""
    from gmrd.evaluation.gather import gather

    out = Path(HydraConfig.get().runtime.output_dir)
    if cfg.collect is not None:
        gather(Path(cfg.collect), out, with_page=cfg.page)
        return
    if not cfg.evaluate:
        raise InputError("evaluate=false leaves no scores for a table: use gmrd-train -m")
    overrides = list(HydraConfig.get().overrides.task)
    refuse_early(cfg, overrides)
    jobs = plan(cfg, out, overrides)
    failed = run_jobs(jobs, n_jobs=cfg.n_jobs, devices=cfg.devices, console=console)
    if len(failed) < len(jobs):
        gather(out, out, with_page=cfg.page)
    for job, status in failed:
        said = escape(f"(status {status}): {job.folder}, see {job.log}")
        console.print(f"[bold red]failed[/] {said}", soft_wrap=True)
        console.print(job.last_words, markup=False)
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
