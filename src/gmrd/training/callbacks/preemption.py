"""Saving a checkpoint when the scheduler ends a training."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

TERMINATED = 128 + signal.SIGTERM
"""The conventional exit status of a command ended by SIGTERM."""


class Preemption(Checkpoint):
    """On SIGTERM or Ctrl-C, saves ``last.ckpt`` at the end of the running step and ends.

    Schedulers send SIGTERM some time before they kill a job; a second Ctrl-C ends at once. The
    same command with ``ckpt_path=auto`` then continues where this one stopped.

    Lightning's own handler communicates with the other processes from within the handler, even in
    the middle of another exchange. Here the handler only sets a flag; at the end of every step the
    processes agree whether one of them was signalled, so that all stop after the same step. As a
    ``Checkpoint``, it runs after all callbacks that change what is saved.

    Args:
        dirpath: the folder of ``last.ckpt``.
    """

    def __init__(self, dirpath: str | Path) -> None:
        self.path = Path(dirpath) / "last.ckpt"
        self._signalled = 0
        self._interrupt: Any = signal.default_int_handler

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over from Lightning."""
        self._listen(self._note, self._note)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over from Lightning."""
        self._listen(self._note, self._note)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save and end the training in all processes if one was signalled and the step is complete.

        Gradients in the middle of accumulation cannot be saved, while the batch norms' statistics
        already include their episodes.

        Raises:
            KeyboardInterrupt: after Ctrl-C.
            SystemExit: with status 143 in the first process; a non-zero status of another process
                would make Lightning kill the first.
        """
        step_is_whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if step_is_whole and trainer.strategy.reduce_boolean_decision(
            bool(self._signalled), all=False
        ):
            trainer.save_checkpoint(self.path)
            for logger in trainer.loggers:
                logger.save()
            self._listen(signal.SIG_DFL, self._interrupt)
            if self._signalled == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(TERMINATED if trainer.is_global_zero else 0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let signals end the process at once, since the training is saved."""
        self._listen(signal.SIG_DFL, self._interrupt)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Restore the signal handlers, since nothing is left to save."""
        self._listen(signal.SIG_DFL, self._interrupt)

    def _listen(self, terminated: Any, interrupted: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            # Lightning restores its predecessors' handlers.
            signal.signal(signal.SIGTERM, terminated)
            if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as nohup leaves it
                signal.signal(signal.SIGINT, interrupted)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGINT == self._signalled:
            raise KeyboardInterrupt
        self._signalled = signum
