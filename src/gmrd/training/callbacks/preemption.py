"""What a training does when its scheduler wants the machine back."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

TERMINATED = 128 + signal.SIGTERM
"""The status of a command that SIGTERM ended, as shells and schedulers know it."""


class Preemption(Checkpoint):
    """On SIGTERM, saves ``last.ckpt`` at the end of the running step and ends the command.

    Schedulers send SIGTERM some time before they kill a job. The same command with
    ``ckpt_path=auto`` then goes on where this one stopped.

    Lightning's own handler talks to the other processes from within the handler, whatever they
    are exchanging at that moment. Here the signal is only noted, and at the end of every step the
    processes agree whether one of them was signalled, so that all stop after the same one. As a
    ``Checkpoint`` it comes after all callbacks that change what is saved.

    Args:
        dirpath: the folder of ``last.ckpt``.
    """

    def __init__(self, dirpath: str | Path) -> None:
        self.path = Path(dirpath) / "last.ckpt"
        self._signalled = False

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take SIGTERM over from Lightning."""
        self._listen(self._note)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take SIGTERM over from Lightning."""
        self._listen(self._note)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save and end the training in all processes if one was signalled and the step is whole.

        No checkpoint holds gradients that are being accumulated, and the batch norms have already
        seen their episodes.

        Raises:
            SystemExit: with status 143 in the first process; a status of the others would have
                Lightning kill the first.
        """
        step_is_whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if step_is_whole and trainer.strategy.reduce_boolean_decision(self._signalled, all=False):
            trainer.save_checkpoint(self.path)
            for logger in trainer.loggers:
                logger.save()
            raise SystemExit(TERMINATED if trainer.is_global_zero else 0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The training is saved: SIGTERM ends what follows at once."""
        self._listen(signal.SIG_DFL)

    def _listen(self, handler: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Lightning puts back what was before it

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._signalled = True
