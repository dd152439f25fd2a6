"""Atomic checkpoint files, and a checkpoint at the end of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO

from gmrd.io.atomic import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a temporary file and renames it, so that a killed writer keeps the old checkpoint.

    Lightning's own writer uses the system's temporary folder; if that is on another file system, it
    ends with a copy, which can be interrupted. Reading only accepts tensors and plain data.
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
        """Read a checkpoint without executing anything in it."""
        return super().load_checkpoint(path, map_location, weights_only=True)


class SaveLast(Callback):
    """Saves ``last.ckpt`` when training ends, since periodic checkpoints miss the last steps.

    It runs before callbacks that then replace the weights, such as weight averaging.

    Args:
        dirpath: the folder of ``last.ckpt``.
    """

    def __init__(self, dirpath: str | Path) -> None:
        self.path = Path(dirpath) / "last.ckpt"

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the trained network."""
        trainer.save_checkpoint(self.path)
