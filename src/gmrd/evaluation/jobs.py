"""Trainings as separate commands, so that a failed or killed one does not stop the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

from rich.console import Console
from rich.progress import Progress

from gmrd.errors import InputError
from gmrd.io.atomic import replacing
from gmrd.io.json_file import read_json
from gmrd.processes import PARENT

OTHER_PLACE = "choose another folder with out=..., or move this one away"


def key_of(override: str) -> str:
    """The key of Hydra's ``key=value``, without a leading ``+``, ``++`` or ``~``."""
    return override.split("=")[0].lstrip("+~")


@dataclass(frozen=True)
class Job:
    """A gmrd-train with its folder, in which it resumes after an interruption."""

    folder: Path
    overrides: tuple[str, ...]

    @property
    def log(self) -> Path:
        """The training's log file."""
        return self.folder / "output.log"

    @property
    def last_words(self) -> str:
        """The end of the log."""
        lines = self.log.read_text(errors="replace").split("\n") if self.log.is_file() else []
        return "\n".join([line for line in lines if line.strip()][-3:])

    @property
    def finished(self) -> bool:
        """Whether the scores exist."""
        return (self.folder / "summary.json").is_file()

    def command(self) -> list[str]:
        """The command line."""
        folder = str(self.folder.resolve()).replace("'", r"\'")
        own = (f"hydra.run.dir='{folder}'", "ckpt_path=auto")
        return [sys.executable, "-m", "gmrd.cli.train", *self.overrides, *own]

    def claim(self) -> None:
        """Record the settings in the folder.

        Raises:
            InputError: the folder has a training with other settings.
        """
        path = self.folder / "overrides.json"
        begun = self.finished or (self.folder / "checkpoints").is_dir()
        if begun and path.is_file():
            recorded, ours = read_json(path, OTHER_PLACE), set(self.overrides)
            theirs = set(map(str, recorded)) if isinstance(recorded, list) else set()
            if theirs != ours:
                raise InputError(
                    f"{self.folder} has a training with other settings (there "
                    f"{_listed(theirs - ours)}, here {_listed(ours - theirs)}): {OTHER_PLACE}"
                )
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(list(self.overrides), indent=2) + "\n")


def run_jobs(
    jobs: Sequence[Job],
    *,
    n_jobs: int = 1,
    devices: Sequence[int] | None = None,
    console: Console,
) -> list[tuple[Job, int]]:
    """Run the unfinished jobs; return those that failed, with their exit status.

    SIGTERM and Ctrl-C are forwarded to the running trainings, which save and stop; no others are
    started.

    Args:
        jobs: to run, in this order.
        n_jobs: how many at a time.
        devices: GPU numbers, each assigned to one job at a time; None to not assign GPUs.
        console: for the progress.

    Raises:
        InputError: ``devices`` is empty, or a folder has a training with other settings.
    """
    _refuse_no_device(devices)
    for job in jobs:
        job.claim()
    pool = _Pool(devices)
    previous = signal.signal(signal.SIGTERM, pool.terminate)
    try:
        with Progress(console=console) as progress, ThreadPoolExecutor(n_jobs) as threads:
            task = progress.add_task("Trainings", total=len(jobs))
            futures = {threads.submit(pool.run, job): job for job in jobs}
            failed = []
            try:
                for future in as_completed(futures):
                    job, status = futures[future], future.result()
                    progress.advance(task)
                    if status != 0:
                        failed.append((job, status))
                    progress.console.out(
                        f"{'ok' if status == 0 else status}: {job.folder}",
                    )
            except KeyboardInterrupt:
                pool.terminate()
                raise
    finally:
        signal.signal(signal.SIGTERM, previous)
    if pool.terminated:
        sys.exit(128 + signal.SIGTERM)
    return sorted(failed, key=lambda pair: jobs.index(pair[0]))


def _refuse_no_device(devices: Sequence[int] | None) -> None:
    if devices is not None and not devices:
        raise InputError(
            "devices=[] leaves no GPU to train on: give numbers, such as devices=[0,1], or null to "
            "leave the choice to trainer.devices"
        )


def _listed(overrides: set[str]) -> str:
    return " ".join(sorted(overrides)) or "nothing more"


class _Pool:
    """The running processes and the free GPUs."""

    def __init__(self, devices: Sequence[int] | None) -> None:
        self.running: set[subprocess.Popen[bytes]] = set()
        self.terminated = False
        self.free: SimpleQueue[int] | None = None if devices is None else SimpleQueue()
        for device in devices or ():
            assert self.free is not None
            self.free.put(device)

    def run(self, job: Job) -> int:
        if self.terminated:
            return 128 + signal.SIGTERM
        if job.finished:
            return 0
        device = None if self.free is None else self.free.get()
        try:
            return self._run(job, device)
        finally:
            if self.free is not None and device is not None:
                self.free.put(device)

    def _run(self, job: Job, device: int | None) -> int:
        environment = {**os.environ, PARENT: str(os.getpid())}
        if device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = str(device)
        with job.log.open("ab") as log:
            process = subprocess.Popen(
                job.command(), stdout=log, stderr=subprocess.STDOUT, env=environment
            )
            self.running.add(process)
            status = process.wait()
            self.running.discard(process)
        return status

    def terminate(self, number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        self.terminated = True
        for process in list(self.running):
            process.terminate()
