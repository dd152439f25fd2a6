"""gmrd-dashboard: one Weights & Biases workspace for all runs of a project."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from gmrd.cli.console import command
from gmrd.errors import InputError

STEP = "trainer/global_step"

PLOTS = {
    "Learning": ("train/loss", "val/loss", "train/pseudo_dice", "val/pseudo_dice"),
    "Losses by part": tuple(
        f"{stage}/{part}_loss"
        for part in ("query", "align", "auxiliary")
        for stage in ("train", "val")
    ),
    "Speed": (
        "throughput/episodes_per_second",
        "throughput/data_wait_fraction",
        "throughput/peak_memory_gib",
    ),
}
PICTURES = ("overlays", "pictures/episode", "pictures/affinity", "pictures/descriptors")

console = Console()


def workspace(entity: str, project: str, name: str, organs: Sequence[str]) -> Any:
    """Build the workspace without uploading it.

    Args:
        entity: user or team that owns the project.
        project: name of the project.
        name: name of the workspace.
        organs: whose Dice is plotted.

    Raises:
        InputError: the extra ``dashboard`` is not installed.
    """
    try:
        wr: Any = import_module("wandb_workspaces.reports.v2")
        ws: Any = import_module("wandb_workspaces.workspaces")
    except ImportError as error:
        raise InputError(
            "gmrd-dashboard needs wandb-workspaces: pip install 'gmrd[dashboard]'"
        ) from error
    dice = [f"test/dice_{organ}" for organ in organs]
    sections = [
        ws.Section(
            name="Dice of the test cases",
            panels=[wr.BarPlot(title=key, metrics=[key]) for key in ("test/dice", *dice)],
            is_open=True,
        ),
        ws.Section(
            name="Pictures",
            panels=[wr.MediaBrowser(title=key, media_keys=[key]) for key in PICTURES],
            is_open=True,
        ),
        *(
            ws.Section(name=title, panels=[wr.LinePlot(title=key, x=STEP, y=[key]) for key in keys])
            for title, keys in PLOTS.items()
        ),
    ]
    return ws.Workspace(entity=entity, project=project, name=name, sections=sections)


@command("dashboard")
def main(cfg: DictConfig) -> None:
    """Console entry point: build and upload the workspace."""
    import wandb

    if not cfg.entity:
        raise InputError(
            "entity is empty: set it to a Weights & Biases user or team, entity=ME (with make: "
            "make dashboard ENTITY=ME)"
        )
    made = workspace(cfg.entity, cfg.project, cfg.name, list(cfg.organs))
    try:
        made.save()
    except (wandb.errors.UsageError, wandb.errors.CommError) as error:
        raise InputError(
            f"the workspace could not be uploaded to Weights & Biases: {error} This needs an "
            "account (`wandb login`) and a network connection"
        ) from error
    console.print(f"Workspace: {made.url}")


if __name__ == "__main__":
    main()
