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
    """On SIGTERM or Ctrl-C, saves ``last.ckpt`` at the end of the running step and ends.

    Schedulers send SIGTERM some time before they kill a job; a second Ctrl-C does not wait. The
    same command with ``ckpt_path=auto`` then goes on where this one stopped.

    Lightning's own handler talks to the other processes from within the handler, whatever they
    are exchanging at that moment. Here the signal is only noted, and at the end of every step the
    processes agree whether one of them was signalled, so that all stop after the same one. As a
    ``Checkpoint`` it comes after all callbacks that change what is saved.

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
        """Save and end the training in all processes if one was signalled and the step is whole.

        No checkpoint holds gradients that are being accumulated, and the batch norms have already
        seen their episodes.

        Raises:
            KeyboardInterrupt: after Ctrl-C.
            SystemExit: with status 143 in the first process; a status of the others would have
                Lightning kill the first.
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
        """The training is saved: a signal ends what follows at once."""
        self._listen(signal.SIG_DFL, self._interrupt)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Nothing is left that a signal could have saved."""
        self._listen(signal.SIG_DFL, self._interrupt)

    def _listen(self, terminated: Any, interrupted: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            # Lightning puts back what was before it.
            signal.signal(signal.SIGTERM, terminated)
            if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as nohup leaves it
                signal.signal(signal.SIGINT, interrupted)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGINT == self._signalled:
            raise KeyboardInterrupt
        self._signalled = signum
