"""gmrd-prepare: convert a challenge's download to the layout that training reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track

from gmrd.cli.console import command
from gmrd.errors import InputError
from gmrd.io.formats import expanded

if TYPE_CHECKING:
    from gmrd.data.description import DatasetDescription

# Libraries are imported where they are used, so that a missing setting is reported at once.

console = Console()


def prepare(data: DatasetDescription, source: Path, *, n_jobs: int = 1) -> int:
    """Prepare the cases in ``source`` that are not up to date, and return their number.

    Args:
        data: The data set; its root receives the files.
        source: Folder of the download.
        n_jobs: Cases prepared in parallel.
    """
    from gmrd.data.prepare.runner import find_jobs, run_jobs, write_manifest
    from gmrd.io.atomic import refuse_unwritable

    if data.preparation is None:
        raise InputError(
            f"the YAML file of {data.name} has no preparation: set data.preparation.images to the "
            "path of a case in the download, with {case}"
        )
    jobs = find_jobs(
        expanded(source),
        data.root,
        data.layout,
        data.preparation,
        data.supervoxels,
        exclude=data.exclude,
        n_cases=data.n_cases,
    )
    due = [job for job in jobs if not job.is_done()]
    if due:
        refuse_unwritable(data.root)
    for _ in track(run_jobs(due, n_jobs), "Preparing", len(due), console=console, disable=not due):
        pass
    write_manifest(data.root, data.name, data.classes, jobs)
    return len(due)


@command("prepare")
def main(cfg: DictConfig) -> None:
    """Console entry point."""
    from gmrd.data.build import plain, read_description

    data = read_description(plain(cfg.data))
    n_due = prepare(data, Path(cfg.source), n_jobs=cfg.n_jobs)
    done = f"prepared {n_due} cases" if n_due else "nothing to do: all cases are up to date"
    console.out(
        f"{data.name}: {done}. Data root: {data.root}",
        highlight=False,
    )


if __name__ == "__main__":
    main()
