"""The bar that shows how far training is."""

from __future__ import annotations

from math import ceil

from pytorch_lightning.callbacks import RichProgressBar


class TrainingProgress(RichProgressBar):
    """Lightning's bar; it counts epochs up to the one in which ``max_steps`` are done.

    Trainings here end after a number of steps, of which Lightning's bar says nothing.
    """

    def _get_train_description(self, current_epoch: int) -> str:
        steps = ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        n_epochs = ceil(self.trainer.estimated_stepping_batches / max(steps, 1))
        return f"Epoch {current_epoch + 1} of {n_epochs}".ljust(len(self.validation_description))
