"""Disabling callbacks by the Trainer's own switches."""

from __future__ import annotations

from collections.abc import Iterable

from omegaconf import DictConfig
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import Checkpoint, ModelSummary, ProgressBar

from gmrd.training.callbacks.checkpoints import SaveLast


def switched_on(callbacks: Iterable[Callback], trainer: DictConfig) -> list[Callback]:
    """The callbacks except those that the trainer's settings disable.

    Lightning raises an error for a progress bar with ``enable_progress_bar=false`` and for a
    checkpoint callback with ``enable_checkpointing=false``, although the user has just set that.
    ``fast_dev_run`` writes no checkpoints, either.
    """
    saves = trainer.enable_checkpointing and not trainer.fast_dev_run
    off = (
        *(() if saves else (Checkpoint, SaveLast)),
        *(() if trainer.enable_progress_bar else (ProgressBar,)),
        *(() if trainer.enable_model_summary else (ModelSummary,)),
    )
    return [callback for callback in callbacks if not isinstance(callback, off)]
