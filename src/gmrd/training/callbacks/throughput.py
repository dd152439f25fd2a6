"""The throughput of training, and its waiting time for data."""

from __future__ import annotations

import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from gmrd.types import Episode


class Throughput(Callback):
    """Logs episodes per second, the share of time spent waiting for data, and peak GPU memory.

    Each value covers the steps since the last one (``trainer.log_every_n_steps``) and all
    processes. Logged as ``throughput/...``.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the timers."""
        self._restart()

    def _restart(self) -> None:
        self._begin = self._batch_end = time.perf_counter()
        self._waited, self._n_episodes = 0.0, 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Episode, batch_idx: int
    ) -> None:
        """Count the time since the last batch ended as waiting for this one."""
        self._waited += time.perf_counter() - self._batch_end

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Episode,
        batch_idx: int,
    ) -> None:
        """Count the batch, and log at the set interval."""
        self._batch_end = time.perf_counter()
        self._n_episodes += batch.query_masks.shape[0] * trainer.world_size
        accumulating = (batch_idx + 1) % trainer.accumulate_grad_batches != 0
        if accumulating or trainer.global_step % getattr(trainer, "log_every_n_steps", 50):
            return
        elapsed = max(self._batch_end - self._begin, 1e-9)
        measured = {
            "throughput/episodes_per_second": self._n_episodes / elapsed,
            "throughput/data_wait_fraction": self._waited / elapsed,
        }
        if pl_module.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(pl_module.device)
            measured["throughput/peak_memory_gib"] = peak / 2**30
        for logger in trainer.loggers:
            logger.log_metrics(measured, step=trainer.global_step - 1)  # as Lightning counts
        self._restart()
