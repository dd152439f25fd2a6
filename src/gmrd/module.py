"""The LightningModule: one training step, its optimiser, and what a checkpoint remembers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import FSDPStrategy
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from gmrd.errors import InputError
from gmrd.losses import GMRDLoss
from gmrd.metrics import EpisodeMetrics
from gmrd.nn import build_network
from gmrd.types import Episode


class GMRDModule(LightningModule):
    """Trains the dual-path network with the MAMP head on batches of episodes.

    Every hyper-parameter is plain data, so a checkpoint can be read with
    ``torch.load(weights_only=True)`` and holds all that is needed to rebuild the network.

    Args:
        network: arguments of :func:`gmrd.nn.build_network`.
        loss: arguments of :class:`gmrd.losses.GMRDLoss`.
        optimizer: ``name`` of a class of ``torch.optim`` and its arguments.
        scheduler: ``name`` of a class of ``torch.optim.lr_scheduler`` and its arguments; it is
            stepped once per training step.
        seed: together with the step and the rank it decides dropout and the random fill, so a
            resumed training draws what an uninterrupted one would have drawn.
        scans: what a checkpoint remembers of its training, a plain
            :class:`gmrd.record.TrainingRecord`; prediction brings new scans to its geometry.
    """

    def __init__(
        self,
        *,
        network: Mapping[str, Any],
        loss: Mapping[str, Any],
        optimizer: Mapping[str, Any],
        scheduler: Mapping[str, Any],
        seed: int = 0,
        scans: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self._part_of_step = (-1, 0)
        self.train_metrics, self.val_metrics = EpisodeMetrics(), EpisodeMetrics()
        self.network = build_network(**network)
        self.loss = GMRDLoss(**loss)

    def forward(self, episode: Episode) -> Tensor:
        """Foreground probability of every query slice, shape (batch, query, h, w)."""
        probability: Tensor = self.network(episode).probabilities[:, :, 1]
        return probability

    def on_train_batch_start(self, batch: Episode, batch_idx: int) -> None:
        """Make a batch's random draws a function of the seed and its place in the training alone.

        Batches of an accumulated step take the places that as many processes would have, so
        that both ways of training on the same episodes draw the same.
        """
        seed, step = int(self.hparams["seed"]), self.global_step
        last_step, part = self._part_of_step
        self._part_of_step = step, part + 1 if step == last_step else 0
        place = self._part_of_step[1] * self.trainer.world_size + self.global_rank
        torch.manual_seed((seed * 1_000_003 + step) * 1_009 + place)
        if self._part_of_step[1] == 0 and step % self._steps_between_logs == 0:
            self.train_metrics.reset()

    def whole(self) -> GMRDModule | None:
        """The module with all its parameters; all processes of a training must ask at once.

        Where FSDP divides the parameters this is a copy, and None in all processes but the first.
        """
        if not isinstance(self.trainer.strategy, FSDPStrategy):
            return self
        state = self.trainer.strategy.lightning_module_state_dict()
        if not self.trainer.is_global_zero:
            return None
        copy = GMRDModule.rebuilt(self.hparams)
        copy.load_state_dict(state)
        return copy

    @classmethod
    def rebuilt(cls, hyper_parameters: Mapping[str, Any]) -> GMRDModule:
        """A module of these hyper-parameters whose weights are to be loaded.

        So pretrained weights need not be at hand.
        """
        network = {**hyper_parameters["network"], "pretrained": None}
        return cls(**{**hyper_parameters, "network": network})

    def training_step(self, batch: Episode, batch_idx: int) -> Tensor:
        """The total loss of a batch of episodes.

        What is logged is of the episodes since the last line of the log. Processes wait for each
        other only for that line; until then each shows its own.
        """
        total = self._measure(batch, self.train_metrics)
        logged = (self.global_step + 1) % self._steps_between_logs == 0
        self._log("train", self.train_metrics.compute(over_processes=logged))
        return total

    def on_validation_epoch_start(self) -> None:
        """Begin with no episode."""
        self.val_metrics.reset()

    def validation_step(self, batch: Episode, batch_idx: int) -> None:
        """Losses and pseudo-label Dice on held-out episodes; no test organ is looked at."""
        self._measure(batch, self.val_metrics)

    def on_validation_epoch_end(self) -> None:
        """Log what all validation episodes gave together."""
        self._log("val", self.val_metrics.compute())

    def _measure(self, batch: Episode, metrics: EpisodeMetrics) -> Tensor:
        output = self.network(batch)
        losses: dict[str, Tensor] = self.loss(output, batch)
        metrics.update(losses, output.probabilities[:, :, 1], batch.query_masks)
        return losses["total"]

    def _log(self, stage: str, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.log(
                f"{stage}/{name}",
                value,
                prog_bar=name in ("loss", "pseudo_dice"),
                sync_dist=stage == "val",  # all processes have the same: Lightning is to know
            )

    @property
    def _steps_between_logs(self) -> int:
        steps: int = getattr(self.trainer, "log_every_n_steps", 0)  # 0: Lightning writes no log
        return max(steps, 1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Build the optimiser and the schedule that the hyper-parameters name."""
        trained = [p for p in self.network.parameters() if p.requires_grad]
        optimizer = _named(torch.optim, self.hparams["optimizer"], trained)
        scheduler = _named(torch.optim.lr_scheduler, self.hparams["scheduler"], optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What training wrote, reading plain data and tensors only.

    Raises:
        InputError: the file is missing, is no checkpoint of this package, or holds anything
            but tensors and plain data.
    """
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}: set ckpt_path to a .ckpt that training wrote")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path} is not a checkpoint that can be read safely ({error.__class__.__name__}): "
            "it is damaged or holds more than tensors and plain data"
        ) from error
    if not isinstance(checkpoint, dict) or not {"hyper_parameters", "state_dict"} <= set(
        checkpoint
    ):
        raise InputError(
            f"{path} is not a gmrd checkpoint: for weights of the public research code, run "
            f"gmrd-convert source={path} out=gmrd.ckpt first"
        )
    return checkpoint


def steps_of(ckpt_path: Path) -> int | None:
    """How many steps a checkpoint was trained for; None if it does not tell."""
    steps = read_checkpoint(ckpt_path).get("global_step")
    return None if steps is None else int(steps)


def load_module(ckpt_path: str | Path) -> GMRDModule:
    """Rebuild a trained module from a checkpoint.

    Raises:
        InputError: the checkpoint cannot be read, or not be used.
    """
    path = Path(ckpt_path)
    checkpoint = read_checkpoint(path)
    try:
        module = GMRDModule.rebuilt(checkpoint["hyper_parameters"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} has hyper-parameters that this version of gmrd cannot use: {error}"
        ) from error
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise InputError(f"{path} does not fit the network it describes: {error}") from error
    return module


def _named(namespace: Any, settings: Mapping[str, Any], target: Any) -> Any:
    """Instantiate ``namespace.<settings.name>(target, **rest)``.

    Raises:
        InputError: there is no such class, or it refuses its arguments.
    """
    arguments = {key: value for key, value in settings.items() if key != "name"}
    cls = getattr(namespace, str(settings["name"]), None)
    if cls is None:
        raise InputError(f"{namespace.__name__} has no {settings['name']!r}")
    try:
        return cls(target, **arguments)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value}" for key, value in arguments.items())
        raise InputError(f"{cls.__name__}({given}): {error}") from error
