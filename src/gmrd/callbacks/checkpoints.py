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
    system, its last act is a copy, which a kill can cut short. Reading takes tensors and plain
    data alone.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write ``checkpoint`` to a local ``path``."""
        with replacing(Path(path)) as temporary:
            super().save_checkpoint(checkpoint, temporary, storage_options)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint, never anything that it would execute."""
        return super().load_checkpoint(path, map_location, weights_only=True)


class SaveLast(Callback):
    """Saves ``last.ckpt`` when training ends, and on SIGTERM at the end of the running step.

    Schedulers send SIGTERM some time before they kill a job. The same command with
    ``ckpt_path=auto`` then goes on where this one stopped. The periodic checkpoints alone would
    leave out the steps after the last of them.

    Args:
        dirpath: the folder of ``last.ckpt``.
    """

    def __init__(self, dirpath: str | Path) -> None:
        self.path = Path(dirpath) / "last.ckpt"
        self._terminating = False

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Put a SIGTERM off until the gradients that are being accumulated have been used.

        No checkpoint holds them, and the batch norms have already seen their episodes.
        """
        connector = trainer._signal_connector
        self._terminating |= connector.received_sigterm
        step_is_whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        connector.received_sigterm = self._terminating and step_is_whole

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the trained network."""
        trainer.save_checkpoint(self.path)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save if the exception is Lightning's translation of SIGTERM."""
        if isinstance(exception, SIGTERMException):
            trainer.save_checkpoint(self.path)
