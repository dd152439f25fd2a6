"""Checkpoints that survive what ends a run: a kill while writing, and a preempting scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException

from gmrd.atomic import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames, so that a killed writer leaves the old checkpoint.

    Lightning's own writer goes through the system's temporary folder; where that is another file
    system, its last act is a copy, which a kill can cut short.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write ``checkpoint`` to a local ``path``."""
        with replacing(Path(path)) as temporary:
            super().save_checkpoint(checkpoint, temporary, storage_options)


class SaveOnTermination(Callback):
    """On SIGTERM, save ``last.ckpt`` at the end of the running step, and stop.

    Schedulers send SIGTERM some time before they kill a job. The same command with
    ``ckpt_path=auto`` then goes on where this one stopped.

    Args:
        dirpath: the folder of ``last.ckpt``.
    """

    def __init__(self, dirpath: str | Path) -> None:
        self.path = Path(dirpath) / "last.ckpt"

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save if the exception is Lightning's translation of SIGTERM."""
        if isinstance(exception, SIGTERMException):
            trainer.save_checkpoint(self.path)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Forget a half-accumulated step, whose gradients no checkpoint holds.

        Resuming draws its episodes again, and Lightning's batch count has to agree.
        """
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        started_on = progress["current"]["ready"] % trainer.accumulate_grad_batches
        for counts in (progress["current"], progress["total"]):
            for name in ("ready", "started", "processed", "completed"):
                counts[name] -= started_on
