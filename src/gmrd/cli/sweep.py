"""What became of every job of a multirun: a table, and ``sweep.csv`` in the sweep's folder."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from gmrd.atomic import replacing

FILE = "job.json"

console = Console()


class SweepLog(Callback):
    """A Hydra callback: each job of a multirun leaves ``job.json`` in its folder.

    Jobs may run in other processes and on other machines; the folder is all that they share.
    """

    folder: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember where the sweep is."""
        # The folder's name asks for what Hydra itself only sets for the jobs.
        HydraConfig.instance().set_config(config)
        SweepLog.folder = Path(config.hydra.sweep.dir)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Start the clock, and note the job in case that it never ends."""
        self._start = time.time()
        self._write(config, {"status": "did not end"})

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note the result or the error."""
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


def show_sweep() -> None:
    """After a multirun, print its jobs and write ``sweep.csv``; after a single run, nothing."""
    if SweepLog.folder is not None and SweepLog.folder.is_dir():
        jobs = read_jobs(SweepLog.folder)
        write_jobs(jobs, SweepLog.folder / "sweep.csv")
        console.print(jobs_table(jobs))
        console.print(f"The sweep's folder: {SweepLog.folder}")


def read_jobs(folder: Path) -> list[dict[str, Any]]:
    """The jobs of a sweep by number."""
    jobs = [json.loads(path.read_text()) for path in folder.rglob(FILE)]
    return sorted(jobs, key=lambda job: int(job["job"]))


def write_jobs(jobs: list[dict[str, Any]], path: Path) -> None:
    """Write a row a job."""
    columns = ["job", "status", "result", "seconds", "overrides", "error"]
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({**job, "overrides": " ".join(job["overrides"])} for job in jobs)


def jobs_table(jobs: list[dict[str, Any]]) -> Table:
    """Jobs with their overrides, result or error, and the overrides that they share above."""
    shared = set.intersection(*(set(job["overrides"]) for job in jobs)) if jobs[1:] else set()
    failed = sum(job["status"] != "completed" for job in jobs)
    table = Table(title=f"Jobs: {len(jobs)}, failed: {failed}", title_justify="left")
    for heading in ("job", "overrides", "objective", "seconds", "status"):
        table.add_column(heading, overflow="fold")
    for job in jobs:
        own = " ".join(o for o in job["overrides"] if o not in shared)
        result = "" if job.get("result") is None else f"{float(job['result']):.4f}"
        status = job["status"] + (f": {job['error']}" if "error" in job else "")
        seconds = str(job.get("seconds", ""))
        table.add_row(str(job["job"]), own, result, seconds, status.replace("[", r"\["))
    return table
