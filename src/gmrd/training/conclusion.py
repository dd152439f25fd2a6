"""The end of a training: scoring the test cases and recording the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer

from gmrd.checkpoint.file import read_checkpoint
from gmrd.data.datamodule import EpisodeDataModule
from gmrd.data.split import Split
from gmrd.errors import InputError
from gmrd.evaluation.evaluator import Evaluator
from gmrd.evaluation.fold import score_fold
from gmrd.evaluation.settings import EvaluationSettings
from gmrd.module import GMRDModule
from gmrd.training.tracking import (
    CaseRecorder,
    close,
    log_case_pictures,
    record_checkpoints,
    record_run,
)


class Conclusion(Callback):
    """Records a training, and scores the test cases at its end.

    This is a callback, because it must run in the training process: under ``ddp_spawn`` that is a
    child, whose loggers and checkpoints the parent cannot access. The scores are added to
    ``trainer.callback_metrics``.

    Args:
        cfg: the resolved configuration of the training.
        scored: the data whose test cases are scored.
        output_dir: where scores, pictures and predictions go.

    Raises:
        InputError: the evaluation's settings cannot work.
    """

    def __init__(self, cfg: DictConfig, scored: Split, output_dir: Path) -> None:
        self.cfg, self.scored, self.output_dir = cfg, scored, output_dir
        self._trained: GMRDModule | None = None
        if cfg.evaluate:
            _refuse_best_of_none(cfg)
            Evaluator(scored.classes, EvaluationSettings.from_config(cfg.evaluation))

    def refuse_what_cannot_be_scored(self) -> None:
        """Check the test labels before the training, not after it.

        Raises:
            InputError: too few cases contain an organ.
        """
        if self.cfg.evaluate:
            self.scored.evaluation_plan()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Send the configuration and the checkpoint's record of the training to the loggers."""
        trained: EpisodeDataModule = trainer.datamodule  # type: ignore[attr-defined]
        record = dict(pl_module.hparams.get("scans") or {})
        record_run(trainer.loggers, self.cfg, trained.data, record)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the trained network, with all processes taking part."""
        assert isinstance(pl_module, GMRDModule)
        self._trained = pl_module.whole()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Score and record, in the first process only."""
        assert isinstance(pl_module, GMRDModule)
        if trainer.is_global_zero:
            if self.cfg.evaluate:
                self._score(trainer, self._trained or pl_module)  # no step was left to train
            record_checkpoints(trainer.loggers, self.output_dir / "checkpoints", measured(trainer))
            close(trainer.loggers)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Close the loggers of a failed training."""
        close(trainer.loggers)

    def _score(self, trainer: Trainer, module: GMRDModule) -> None:
        fast_dev_run = bool(getattr(trainer, "fast_dev_run", False))
        if not fast_dev_run:  # it saves no weights to choose from
            choose_weights(self.cfg.evaluation.weights, trainer, module)
        recorder = CaseRecorder(self.scored.classes)
        scores = score_fold(
            module,
            self.scored,
            EvaluationSettings.from_config(self.cfg.evaluation),
            self.output_dir,
            steps=trainer.global_step,
            selected=self.cfg.evaluation.weights,
            watch=recorder.add,
            n_cases=1 if fast_dev_run else None,
            show_progress=self.cfg.trainer.enable_progress_bar is not False,
        )
        trainer.callback_metrics.update(
            {name: torch.tensor(value, dtype=torch.float64) for name, value in scores.items()}
        )
        recorder.record(trainer.loggers, scores, trainer.global_step)
        log_case_pictures(trainer.loggers, self.output_dir / "pictures", trainer.global_step)


def measured(trainer: Trainer) -> dict[str, float]:
    """The metrics of a training as plain numbers."""
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def choose_weights(which: str, trainer: Trainer, module: GMRDModule) -> None:
    """Keep the last weights, or load those with the best validation.

    Raises:
        InputError: ``best`` is set, but there was no validation.
    """
    if which == "last":
        return
    saved = (getattr(callback, "best_model_path", "") for callback in _monitoring(trainer))
    path = next((found for found in saved if found), None)
    if path is None:
        raise InputError(
            "evaluation.weights=best, but there was no validation: lower "
            "trainer.val_check_interval below trainer.max_steps, or use evaluation.weights=last"
        )
    module.load_state_dict(read_checkpoint(Path(path))["state_dict"])


def _monitoring(trainer: Trainer) -> list[Any]:
    return [c for c in trainer.checkpoint_callbacks if getattr(c, "monitor", None)]


def _refuse_best_of_none(cfg: DictConfig) -> None:
    if cfg.evaluation.weights == "best" and not cfg.trainer.enable_checkpointing:
        raise InputError(
            "evaluation.weights=best, but trainer.enable_checkpointing=false saves none: use "
            "evaluation.weights=last"
        )
