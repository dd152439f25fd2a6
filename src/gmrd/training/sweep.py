"""The outcome of every job of a multirun: a table, and ``sweep.csv`` in the sweep's folder."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gmrd.errors import InputError
from gmrd.evaluation.jobs import key_of
from gmrd.io.atomic import replacing
from gmrd.io.csv_file import write_csv
from gmrd.io.json_file import read_json

FILE = "job.json"

SQLITE = "sqlite:///"

PLACE = ("fold", "seed", "data.group")
"""Overrides that identify a training within a cross-validation."""

console = Console()


class SweepLog(Callback):
    """A Hydra callback that writes ``job.json`` to the folder of each multirun job.

    Jobs may run in other processes and on other machines, which only share the folder.
    """

    folder: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember the sweep's folder."""
        # The folder's name interpolates a value that Hydra only sets for the jobs.
        HydraConfig.instance().set_config(config)
        SweepLog.folder = Path(config.hydra.sweep.dir)
        if config.hydra.sweeper.get("storage") is not None:
            _take_up_study(config.hydra.sweeper)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Start the timer, and record the job in case it never ends."""
        self._start = time.time()
        self._write(config, {"status": "did not end"})

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Record the result or the error."""
        ended = {"seconds": round(time.time() - self._start, 1)}
        if job_return.status == JobStatus.COMPLETED:
            self._write(config, {"status": "completed", "result": job_return.return_value} | ended)
        else:
            error = job_return._return_value
            message = f"{type(error).__name__}: {error}"
            self._write(config, {"status": "failed", "error": message} | ended)

    def _write(self, config: DictConfig, record: dict[str, Any]) -> None:
        if config.hydra.mode is None or config.hydra.mode.name != "MULTIRUN":
            return
        job = {"job": config.hydra.job.num, "overrides": list(config.hydra.overrides.task)}
        with replacing(Path(config.hydra.runtime.output_dir) / FILE) as temporary:
            temporary.write_text(json.dumps(job | record, indent=2) + "\n")


def _take_up_study(sweeper: DictConfig) -> None:
    """Make the folder of the study's file, and seed the sampler by the number of existing trials.

    With the same seed, the sampler would repeat its first trials.
    """
    import optuna

    if sweeper.storage.startswith(SQLITE):
        Path(sweeper.storage.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    found = optuna.get_all_study_summaries(sweeper.storage)
    done = sum(study.n_trials for study in found if study.study_name == sweeper.study_name)
    if sweeper.sampler.get("seed") is not None:
        with read_write(sweeper), open_dict(sweeper):
            sweeper.sampler.seed += done


def show_sweep() -> None:
    """After a multirun, print its jobs and write ``sweep.csv``; after a single run, nothing.

    Jobs that differ only in fold, seed and group are collected like those of gmrd-crossval; if they
    differ in more, like ablations, there is a row for each condition.
    """
    if SweepLog.folder is None or not SweepLog.folder.is_dir():
        return
    try:
        jobs = read_jobs(SweepLog.folder)
    except InputError as error:
        console.print(f"[yellow]no table:[/] {escape(str(error))}")
        return
    write_jobs(jobs, SweepLog.folder / "sweep.csv")
    console.print(jobs_table(jobs))
    console.out(f"The sweep's folder: {SweepLog.folder}")
    conditions = scored_conditions(jobs)
    from gmrd.evaluation.gather import compare, gather  # slow; Hydra imports this file first

    try:
        if len(conditions) > 1:
            compare(conditions, SweepLog.folder)
        elif conditions:
            gather(SweepLog.folder, SweepLog.folder, with_page=True)
    except InputError as error:
        console.print(f"[yellow]no table:[/] {escape(str(error))}")


def scored_conditions(jobs: list[dict[str, Any]]) -> dict[str, list[Path]]:
    """The folders of scored jobs, by their overrides other than fold, seed and group."""
    conditions: dict[str, list[Path]] = {}
    for job, own in zip(jobs, own_overrides(jobs), strict=True):
        folder = Path(job["folder"])
        if (folder / "summary.json").is_file():
            condition = " ".join(o for o in own if key_of(o) not in PLACE)
            conditions.setdefault(condition, []).append(folder)
    return conditions


def read_jobs(folder: Path) -> list[dict[str, Any]]:
    """The jobs of a sweep by number, with their folders.

    Raises:
        InputError: the file of a job is damaged.
    """
    jobs = [
        {**read_json(path, "delete it"), "folder": str(path.parent)} for path in folder.rglob(FILE)
    ]
    return sorted(jobs, key=lambda job: int(job["job"]))


def write_jobs(jobs: list[dict[str, Any]], path: Path) -> None:
    """Write a row per job."""
    columns = ["job", "status", "result", "seconds", "overrides", "folder", "error"]
    write_csv(path, [{**job, "overrides": " ".join(job["overrides"])} for job in jobs], columns)


def own_overrides(jobs: list[dict[str, Any]]) -> list[list[str]]:
    """The overrides of each job that are not shared by all."""
    shared = set.intersection(*(set(job["overrides"]) for job in jobs)) if jobs[1:] else set()
    return [[o for o in job["overrides"] if o not in shared] for job in jobs]


def jobs_table(jobs: list[dict[str, Any]]) -> Table:
    """Jobs with their individual overrides, and their result or error."""
    failed = sum(job["status"] != "completed" for job in jobs)
    table = Table(title=f"Jobs: {len(jobs)}, failed: {failed}", title_justify="left")
    for heading in ("job", "overrides", "objective", "seconds", "status"):
        table.add_column(heading, overflow="fold")
    for job, own in zip(jobs, own_overrides(jobs), strict=True):
        result = "" if job.get("result") is None else f"{float(job['result']):.4f}"
        status = job["status"] + (f": {job['error']}" if "error" in job else "")
        seconds = str(job.get("seconds", ""))
        table.add_row(str(job["job"]), escape(" ".join(own)), result, seconds, escape(status))
    return table
