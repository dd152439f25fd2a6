"""Callbacks that the Trainer's own switches turn off."""

from __future__ import annotations

from collections.abc import Iterable

from omegaconf import DictConfig
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import Checkpoint, ModelSummary, ProgressBar

from gmrd.training.callbacks.checkpoints import SaveLast


def switched_on(callbacks: Iterable[Callback], trainer: DictConfig) -> list[Callback]:
    """The callbacks without those that the trainer's settings turn off.

    Lightning refuses a progress bar beside ``enable_progress_bar=false`` and a checkpoint callback
    beside ``enable_checkpointing=false``, although it is the setting that the user has just given.
    ``fast_dev_run`` writes no checkpoints either.
    """
    saves = trainer.enable_checkpointing and not trainer.fast_dev_run
    off = (
        *(() if saves else (Checkpoint, SaveLast)),
        *(() if trainer.enable_progress_bar else (ProgressBar,)),
        *(() if trainer.enable_model_summary else (ModelSummary,)),
    )
    return [callback for callback in callbacks if not isinstance(callback, off)]
