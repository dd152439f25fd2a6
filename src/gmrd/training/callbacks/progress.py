"""The progress bar of training."""

from __future__ import annotations

from math import ceil, isfinite
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar


class TrainingProgress(RichProgressBar):
    """Lightning's progress bar, counting steps to ``max_steps`` instead of batches of an epoch.

    Training ends after a number of steps; an epoch is merely a thousand episodes.
    """

    @property
    def total_train_batches(self) -> int | float:
        """The total number of steps."""
        n_steps = self.trainer.estimated_stepping_batches
        return ceil(n_steps) if isfinite(n_steps) else n_steps

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the bar; later epochs continue it."""
        if self.train_progress_bar_id is None:
            super().on_train_epoch_start(trainer, pl_module)

    def _update(self, progress_bar_id: Any, current: int, *args: Any, **kwargs: Any) -> None:
        bar: Any = self.train_progress_bar_id
        if self.progress is not None and bar is not None and progress_bar_id == bar:
            current = self.trainer.global_step
            self.progress.update(bar, description=self._get_train_description(0))
        super()._update(progress_bar_id, current, *args, **kwargs)

    def _get_train_description(self, current_epoch: int) -> str:
        described = f"step {self.trainer.global_step} of {self.total_train_batches}"
        return described.ljust(len(self.validation_description))
