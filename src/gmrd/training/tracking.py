"""Logging more than curves: configuration, cases, pictures, checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from gmrd.data.description import DatasetDescription
from gmrd.data.split import EvaluationCase
from gmrd.evaluation.scores import SCORES, ScoredCase
from gmrd.io.atomic import replacing
from gmrd.viz.pictures import grey_range

N_SLICES = 3
"""Overlay slices per case."""

STEP = "trainer/global_step"
"""The x axis of WandbLogger's curves."""

BEST = {"val/pseudo_dice": "max"} | {
    f"val/{name}": "min" for name in ("loss", "query_loss", "align_loss", "auxiliary_loss")
}
"""Metrics whose best value, not the last, is in the run's summary in wandb."""


class CaseRecorder:
    """Collects scored cases, then uploads the table and the overlays to wandb.

    Args:
        classes: class id to organ name.
    """

    def __init__(self, classes: Mapping[int, str]) -> None:
        self.names = {int(class_id): name for class_id, name in classes.items()}
        self.rows: list[list[str | float]] = []
        self.overlays: list[tuple[NDArray[np.float32], dict[str, NDArray[np.uint8]], str]] = []

    def add(
        self, case: EvaluationCase, prediction: NDArray[np.uint8], scores: Sequence[ScoredCase]
    ) -> None:
        """Store a case's scores and a few of its slices."""
        self.rows += [list(score.row().values()) for score in scores]
        label = np.asarray(case.query.label)
        truth = np.where(np.isin(label, list(self.names)), label, 0)
        labelled = np.flatnonzero(truth.any(axis=(1, 2)) | prediction.any(axis=(1, 2)))
        places = np.linspace(0, len(labelled) - 1, N_SLICES + 2)[1:-1].round().astype(int)
        for z in np.unique(labelled[places]) if len(labelled) else ():
            masks = {"truth": truth[z].astype(np.uint8), "prediction": prediction[z]}
            caption = f"case {case.query.case_id}, z = {z}"
            self.overlays.append((case.query.image[z], masks, caption))

    @rank_zero_only
    def record(self, loggers: Sequence[Logger], metrics: Mapping[str, float], step: int) -> None:
        """Log the metrics to all loggers; the table of cases and the overlays to wandb."""
        for logger in loggers:
            logger.log_metrics(dict(metrics), step=step)
            if isinstance(logger, WandbLogger):
                columns = ["method", "organ", "case", "support", *SCORES]
                logger.log_table("cases", columns=columns, data=self.rows, step=step)
                images = [overlay_image(*overlay, self.names) for overlay in self.overlays]
                logger.experiment.log({"overlays": images, STEP: step})
            logger.save()


def overlay_image(
    image: NDArray[np.float32],
    masks: Mapping[str, NDArray[np.uint8]],
    caption: str,
    names: Mapping[int, str],
) -> Any:
    """A wandb image of a slice whose masks can be switched by class."""
    import wandb

    low, high = grey_range(image)
    grey = (255 * np.clip((image - low) / (high - low), 0, 1)).astype(np.uint8)
    labels = {0: "background", **names}
    layers = {name: {"mask_data": mask, "class_labels": labels} for name, mask in masks.items()}
    return wandb.Image(grey, masks=layers, caption=caption)


@rank_zero_only
def save_config(cfg: DictConfig, output_dir: Path) -> None:
    """Write the resolved configuration to the run's folder."""
    with replacing(output_dir / "config.yaml") as temporary:
        OmegaConf.save(cfg, temporary, resolve=True)


def log_picture(loggers: Sequence[Logger], key: str, path: Path, step: int) -> None:
    """Log a PNG to the loggers that support images (wandb and TensorBoard)."""
    from matplotlib.image import imread

    for logger in loggers:
        writer = getattr(logger, "experiment", None)
        if hasattr(logger, "log_image"):
            logger.log_image(key, [str(path)], step=step)
        elif writer is not None and hasattr(writer, "add_image"):
            writer.add_image(key, imread(path), step, dataformats="HWC")


@rank_zero_only
def log_case_pictures(loggers: Sequence[Logger], folder: Path, step: int) -> None:
    """Log the pictures of the scored cases to TensorBoard; wandb gets overlays instead."""
    boards = [logger for logger in loggers if isinstance(logger, TensorBoardLogger)]
    for path in sorted(folder.glob("case_*.png")) if boards else ():
        log_picture(boards, f"test/{path.stem}", path, step)


@rank_zero_only
def record_run(
    loggers: Sequence[Logger],
    cfg: DictConfig,
    data: DatasetDescription,
    record: Mapping[str, Any],
) -> None:
    """Log the resolved configuration and the record of the training to wandb.

    The data becomes the run's input there, as an artifact with names and settings of the cases but
    without the volumes.
    """
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    for logger in loggers:
        if not isinstance(logger, WandbLogger):
            continue
        import wandb

        told = {"run": resolved, "record": dict(record)}
        logger.experiment.config.update(told, allow_val_change=True)
        for name, best in BEST.items():
            logger.experiment.define_metric(name, step_metric=STEP, summary=best)
        about = {key: resolved["data"][key] for key in ("name", "fold", "setting", "exclusion")}
        artifact = wandb.Artifact(str(about["name"]), type="dataset", metadata=about)
        with artifact.new_file("cases.txt") as file:
            file.write("\n".join(case.case_id for case in data.cases) + "\n")
        run = logger.experiment
        # wandb cannot mark inputs offline; the data then appears as the run's output.
        (run.log_artifact if run.offline else run.use_artifact)(artifact)


@rank_zero_only
def record_checkpoints(
    loggers: Sequence[Logger], folder: Path, metrics: Mapping[str, float]
) -> None:
    """Log each checkpoint in ``folder`` as an artifact of the run.

    ``last.ckpt`` comes last, because wandb tags the newest version of an artifact ``latest``.
    """
    for logger in loggers:
        if not isinstance(logger, WandbLogger):
            continue
        import wandb

        for path in sorted(folder.glob("*.ckpt"), key=lambda p: (p.stem == "last", p.name)):
            kind = path.stem if path.stem in ("last", "best") else "step"
            name = f"model-{logger.experiment.id}"
            artifact = wandb.Artifact(name, type="model", metadata=dict(metrics))
            artifact.add_file(str(path), name="gmrd.ckpt", policy="immutable")
            logger.experiment.log_artifact(artifact, aliases=[kind, path.stem])


@rank_zero_only
def close(loggers: Sequence[Logger]) -> None:
    """Finish the wandb run, so that the next run of this process does not continue it."""
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        import wandb

        wandb.finish()


@rank_zero_only
def keep_old_metrics(output_dir: Path) -> None:
    """Rename the CSV log of an interrupted run, which Lightning's logger would delete."""
    for path in output_dir.rglob("metrics.csv"):
        earlier = len(list(path.parent.glob("metrics_*.csv")))
        path.rename(path.with_name(f"metrics_{earlier}.csv"))
