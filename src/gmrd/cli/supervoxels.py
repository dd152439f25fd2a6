"""gmrd-supervoxels: compute pseudo-labels for all volumes in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gmrd.cli.console import command
from gmrd.errors import InputError

if TYPE_CHECKING:
    from gmrd.data.description import DatasetDescription
    from gmrd.data.supervoxel_files import Outcome

# Libraries are imported where they are used, so that a missing setting is reported at once.

console = Console()


@dataclass(frozen=True)
class Job:
    """A volume to process: its image and where its supervoxels go."""

    case_id: str
    image: Path
    target: Path
    overlay: Path | None


def make_all(cfg: DictConfig) -> list[Outcome]:
    """Compute the supervoxels of all volumes, print a summary and return the outcomes.

    Raises:
        InputError: there are no volumes, or some failed (raised after all were tried).
    """
    import joblib

    from gmrd.processes import as_worker
    from gmrd.supervoxels.workers import workers

    jobs, parameters = find_jobs(cfg), read_parameters(cfg)
    outcomes: list[Outcome] = []
    failures: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        workers(**cfg.workers) as pool,
        Progress(*columns, TimeRemainingColumn(), console=console) as bar,
    ):
        task = bar.add_task("supervoxels", total=len(jobs))
        attempts = (partial(_attempt, job, parameters, cfg.overwrite) for job in jobs)
        calls = (joblib.delayed(as_worker)(os.getpid(), attempt) for attempt in attempts)
        for result in pool(calls):
            (failures if isinstance(result, str) else outcomes).append(result)
            bar.advance(task)
    position = {job.case_id: index for index, job in enumerate(jobs)}
    outcomes.sort(key=lambda outcome: position[outcome.case_id])
    console.print(summary(outcomes))
    console.out(f"in {jobs[0].target.parent}")
    if failures:
        raise InputError(f"{len(failures)} of {len(jobs)} volumes failed:\n" + "\n".join(failures))
    return outcomes


def find_jobs(cfg: DictConfig) -> list[Job]:
    """The volumes in ``images`` or of the data set, and where their supervoxels go."""
    from gmrd.data.cases import CASE, find_cases
    from gmrd.io.atomic import refuse_same_file

    data = described(cfg)
    cases = find_cases(
        data.root,
        data.layout,
        exclude=data.exclude,
        n_cases=data.n_cases,
        how_to_get=data.how_to_get,
    )
    out = Path(cfg.out) if cfg.out is not None else data.root
    jobs = [
        Job(
            case_id=case.case_id,
            image=case.image.absolute(),
            target=(out / data.layout.pseudo_labels.replace(CASE, case.case_id)).absolute(),
            overlay=Path(cfg.overlays, f"{case.case_id}.png").absolute() if cfg.overlays else None,
        )
        for case in cases
    ]
    for job in jobs:
        refuse_same_file(job.image, job.target)
    return jobs


def described(cfg: DictConfig) -> DatasetDescription:
    """The data set without its labels, or a plain folder as a data set.

    Raises:
        InputError: the folder does not exist, or two settings contradict each other.
    """
    from gmrd.data.build import plain, read_description

    section = {**plain(cfg.data), "labels": None, "supervoxels": read_parameters(cfg)}
    if cfg.images is not None:
        if cfg.out is None:
            raise InputError("out is not set: add out=FOLDER, where the supervoxels go")
        if not Path(cfg.images).is_dir():
            raise InputError(f"images={cfg.images} is not a folder")
        section |= {
            "root": cfg.images,
            "images": cfg.image_pattern,
            "pseudo_labels": cfg.out_pattern,
            "exclude": (),
            "n_cases": None,
            "how_to_get": "Set images and image_pattern.",
        }
    elif cfg.min_size and str(cfg.data.supervoxels.min_size) in section["pseudo_labels"]:
        raise InputError(
            f"min_size={cfg.min_size}, but data.pseudo_labels={section['pseudo_labels']} contains "
            f"{cfg.data.supervoxels.min_size}: set data.supervoxels.min_size={cfg.min_size}, or "
            "write {min_size} in place of the number"
        )
    return read_description(section)


def read_parameters(cfg: DictConfig) -> dict[str, Any]:
    """Parameters of :func:`gmrd.supervoxels.pseudo_labels`: the command's, else the data set's."""
    settings = cfg.data.supervoxels
    min_size = cfg.min_size if cfg.min_size is not None else settings.min_size
    return {
        "min_size": min_size,
        "scale": float(cfg.scale if cfg.scale is not None else settings.scale),
        "sigma": float(cfg.sigma if cfg.sigma is not None else settings.sigma),
    }


def summary(outcomes: list[Outcome]) -> Table:
    """A table of each volume's number of supervoxels, their sizes, and the time taken."""
    table = Table("case", "status", title="supervoxels of the body")
    for heading in ("number", "largest", "median", "smallest", "seconds"):
        table.add_column(heading, justify="right")
    for outcome in outcomes:
        table.add_row(
            escape(outcome.case_id), outcome.status, *_sizes(outcome), f"{outcome.seconds:.2f}"
        )
    if any(outcome.status == "kept" for outcome in outcomes):
        table.caption = "kept: a file not made by this command; overwrite=true replaces it"
    return table


def _sizes(outcome: Outcome) -> Iterator[str]:
    sizes = outcome.sizes
    if not sizes:
        yield from ("",) * 4
    else:
        yield from (str(len(sizes)), str(sizes[0]), f"{median(sizes):.0f}", str(sizes[-1]))


def _attempt(job: Job, parameters: dict[str, Any], overwrite: bool) -> Outcome | str:
    """The outcome, or an error message: one bad file does not stop the others."""
    from gmrd.data.supervoxel_files import make_supervoxels

    try:
        return make_supervoxels(
            job.case_id,
            job.image,
            job.target,
            parameters,
            overwrite=overwrite,
            overlay=job.overlay,
        )
    except (InputError, OSError) as error:
        return f"{job.case_id}: {error}"


def refuse_no_volumes(cfg: DictConfig) -> None:
    """Refuse a command with neither a data root nor a folder of images."""
    if cfg.images is None and cfg.data.root is None:
        raise InputError(
            f"no volumes given: add data.root=FOLDER (with files {cfg.data.images}), or "
            f"images=FOLDER out=FOLDER. {cfg.data.how_to_get}"
        )


@command("supervoxels", refuse_no_volumes)
def main(cfg: DictConfig) -> None:
    """Console entry point."""
    make_all(cfg)


if __name__ == "__main__":
    main()
