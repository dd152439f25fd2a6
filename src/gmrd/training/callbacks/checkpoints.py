"""Checkpoints that a kill while writing cannot spoil, and the one at the end of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO

from gmrd.io.atomic import replacing


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
    """Saves ``last.ckpt`` when training ends: the periodic checkpoints leave out the last steps.

    Before callbacks that then exchange the weights, such as an average's.

    Args:
        dirpath: the folder of ``last.ckpt``.
    """

    def __init__(self, dirpath: str | Path) -> None:
        self.path = Path(dirpath) / "last.ckpt"

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the trained network."""
        trainer.save_checkpoint(self.path)
