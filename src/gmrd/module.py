"""The LightningModule: the network, its loss, one training step and its optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import FSDPStrategy
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric

from gmrd.components import build, is_trusted, name_of, targets
from gmrd.errors import InputError
from gmrd.inference import THRESHOLD, segment
from gmrd.metrics import EpisodeMetrics, OrganDice
from gmrd.nn import GMRD
from gmrd.types import Episode, ScoredCase
from gmrd.values.arguments import TARGET, Part
from gmrd.values.kinds import Positive, Seed

SEEDS_APART, PLACES_APART = 1_000_003, 1_009
"""Strides that keep the seeds of all draws distinct: two draws share a seed only if a training has
more than a million steps, or a step more than a thousand processes and accumulated batches. They
are primes, so that round numbers of steps and seeds do not collide. Changing them changes every
training."""

DEFAULT_NETWORK = "gmrd.nn.build_network"
DEFAULT_LOSS = "gmrd.losses.GMRDLoss"

PRESETS = {("relu", True): "paper", ("none", False): "head"}
"""Names of the published variants: the generator's activation, and whether there is an auxiliary
loss."""


class GMRDModule(LightningModule):
    """Trains the dual-path network with the MAMP head on batches of episodes.

    Every hyper-parameter is plain data, so a checkpoint can be read with
    ``torch.load(weights_only=True)`` and contains everything needed to rebuild the module.
    Components are named by ``_target_``, a class or a function, with its arguments; the checkpoint
    also names the module's own class.

    Args:
        network: arguments of :func:`gmrd.nn.build_network`, or another ``_target_`` that returns
            a GMRD or a subclass.
        loss: arguments of :class:`gmrd.losses.GMRDLoss`, or another ``_target_``: a module that
            takes the network's output and the episode and returns losses by name, one ``total``.
        optimizer: ``_target_`` names a subclass of ``torch.optim.Optimizer``.
        scheduler: ``_target_`` names a subclass of ``torch.optim.lr_scheduler.LRScheduler``; it is
            stepped once per training step. None for a constant learning rate.
        rates: factors on the learning rate by part, given as a prefix of parameter names:
            ``{network.encoder: 0.1}``; 1 for all others.
        metrics: additional metrics by name, each with a ``_target_`` that names a torchmetrics
            class.
        seed: with the step and the rank, it determines dropout and the random fill, so that a
            resumed training draws the same as an uninterrupted one.
        scans: the record of the training, as plain data of a
            :class:`gmrd.checkpoint.record.TrainingRecord`; prediction resamples new scans to its
            geometry.
        _target_: the module's own class, as named in its checkpoint; set by the module.
    """

    def __init__(
        self,
        *,
        network: Annotated[Mapping[str, Any], Part(DEFAULT_NETWORK)],
        loss: Annotated[Mapping[str, Any], Part(DEFAULT_LOSS)],
        optimizer: Annotated[Mapping[str, Any], Part()],
        scheduler: Annotated[Mapping[str, Any], Part()] | None = None,
        rates: Mapping[str, Positive] | None = None,
        metrics: Mapping[str, Annotated[Mapping[str, Any], Part()]] | None = None,
        seed: Seed = 0,
        scans: Mapping[str, Any] | None = None,
        _target_: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.hparams[TARGET] = name_of(type(self))
        self._part_of_step = (-1, 0)
        self.train_metrics, self.val_metrics = (EpisodeMetrics(_built(metrics)) for _ in range(2))
        self.test_metrics = OrganDice()
        self.network = network_of(network)
        self.loss = build("model.loss", {TARGET: DEFAULT_LOSS, **loss}, nn.Module)

    @property
    def variant(self) -> str:
        """``paper`` | ``head``, or a description of what differs from both."""
        network, loss = self.hparams["network"], self.hparams["loss"]
        activation = network.get("activation", "relu")
        weight = loss.get("auxiliary_weight", 0.5)
        preset = PRESETS.get((activation, bool(weight)), f"{activation}, auxiliary {weight:g}")
        trained = {key: value for key, value in self.hparams.items() if key != "metrics"}
        plugged = [name for name in targets(trained) if not is_trusted(name)]
        return ", ".join([preset, *plugged])

    def forward(self, episode: Episode) -> Tensor:
        """Foreground probability of every query slice, shape (batch, query, h, w)."""
        probability: Tensor = self.network(episode).probabilities[:, :, 1]
        return probability

    def on_train_batch_start(self, batch: Episode, batch_idx: int) -> None:
        """Make a batch's random draws depend only on the seed and its position in the training.

        The batches of an accumulated step are numbered like those of as many processes, so that
        both ways of training on the same episodes draw the same.
        """
        seed, step = int(self.hparams["seed"]), self.global_step
        last_step, part = self._part_of_step
        self._part_of_step = step, part + 1 if step == last_step else 0
        place = self._part_of_step[1] * self.trainer.world_size + self.global_rank
        torch.manual_seed((seed * SEEDS_APART + step) * PLACES_APART + place)
        if self._part_of_step[1] == 0 and step % self._steps_between_logs == 0:
            self.train_metrics.reset()

    def whole(self) -> GMRDModule | None:
        """The module with all its parameters; must be called in all processes at once.

        If FSDP shards the parameters, this is a copy, and None in all processes but the first.
        """
        if not isinstance(self.trainer.strategy, FSDPStrategy):
            return self
        state = self.trainer.strategy.lightning_module_state_dict()
        if not self.trainer.is_global_zero:
            return None
        copy = self.rebuilt(self.hparams)
        copy.load_state_dict(state)
        return copy

    @classmethod
    def rebuilt(cls, hyper_parameters: Mapping[str, Any]) -> GMRDModule:
        """A module with these hyper-parameters whose weights will be loaded.

        So pretrained weights need not be available.
        """
        network = dict(hyper_parameters["network"])
        if "pretrained" in network:
            network["pretrained"] = None
        arguments = {**hyper_parameters, "network": network}
        return cls(**arguments)

    def training_step(self, batch: Episode, batch_idx: int) -> Tensor:
        """The total loss of a batch of episodes.

        Logged values cover the episodes since the last line of the log. Processes synchronise only
        for that line; until then each shows its own values.
        """
        total = self._measure(batch, self.train_metrics)
        logged = (self.global_step + 1) % self._steps_between_logs == 0
        self._log("train", self.train_metrics.compute(over_processes=logged))
        return total

    def on_validation_epoch_start(self) -> None:
        """Reset the metrics."""
        self.val_metrics.reset()

    def validation_step(self, batch: Episode, batch_idx: int) -> None:
        """Losses and pseudo-label Dice on held-out episodes, without any test organ."""
        self._measure(batch, self.val_metrics)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics over all validation episodes."""
        self._log("val", self.val_metrics.compute())

    def on_test_epoch_start(self) -> None:
        """Reset the scores."""
        self.test_metrics.reset()

    def test_step(self, batch: ScoredCase, batch_idx: int) -> None:
        """Dice of every class of a test case; gmrd-evaluate has the other scores."""
        for label, probability in self.predict_step(batch, batch_idx).items():
            self.test_metrics.update(
                batch.names[label], probability > THRESHOLD, batch.truth[label]
            )

    def on_test_epoch_end(self) -> None:
        """Log the mean over cases of every organ, and over the organs."""
        for name, value in self.test_metrics.compute().items():
            self.log(f"test/{name}", value)

    def predict_step(self, batch: ScoredCase, batch_idx: int) -> dict[int, Tensor]:
        """Foreground probability (z, y, x) of every class on the case's own grid."""
        return segment(self.network, batch.query, batch.chunks, device=self.device)

    @property
    def lr(self) -> float:
        """The optimiser's learning rate, under the name that Lightning's finder uses."""
        return float(self.hparams["optimizer"]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        """Set it, and the peak of a one-cycle schedule that had the same rate."""
        before, schedule = self.lr, dict(self.hparams["scheduler"] or {})
        self.hparams["optimizer"] = {**self.hparams["optimizer"], "lr": value}
        if schedule.get("max_lr") == before:
            self.hparams["scheduler"] = {**schedule, "max_lr": value}

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
                sync_dist=stage == "val",  # the same in all processes, which Lightning cannot know
            )

    @property
    def _steps_between_logs(self) -> int:
        steps: int = getattr(self.trainer, "log_every_n_steps", 0)  # 0: Lightning writes no log
        return max(steps, 1)

    def configure_optimizers(self) -> Optimizer | OptimizerLRSchedulerConfig:
        """Build the optimiser and the schedule that the hyper-parameters name."""
        parts = self._parts()
        groups: Any = [
            {"params": of_part} if factor == 1 else {"params": of_part, "lr": self.lr * factor}
            for of_part, factor in parts.values()
        ]
        optimizer = build(
            "model.optimizer", self.hparams["optimizer"], Optimizer,
            groups if len(groups) > 1 else groups[0]["params"],
        )  # fmt: skip
        schedule = self.hparams["scheduler"]
        if schedule is None:
            return optimizer
        if "max_lr" in schedule and len(groups) > 1:  # one number would be every part's
            heights = [schedule["max_lr"] * factor for _, factor in parts.values()]
            schedule = {**schedule, "max_lr": heights}
        scheduler = build("model.scheduler", schedule, LRScheduler, optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def _parts(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        """Trained parameters and the factor on their rate, by part; ``""`` is all else."""
        rates = {"": 1.0, **(self.hparams["rates"] or {})}
        parts: dict[str, tuple[list[nn.Parameter], float]] = {
            name: ([], factor) for name, factor in rates.items()
        }
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                longest = max((part for part in rates if name.startswith(part)), key=len)
                parts[longest][0].append(parameter)
        if unknown := [part for part, (found, _) in parts.items() if part and not found]:
            raise InputError(
                f"model.rates.{unknown[0]} names no trained parameter: begin with network and the "
                "name of a part, such as network.encoder"
            )
        return {name: part for name, part in parts.items() if part[0]}


def network_of(settings: Mapping[str, Any]) -> GMRD:
    """The network described by a module's hyper-parameters, with newly initialised weights."""
    return build("model.network", {TARGET: DEFAULT_NETWORK, **settings}, GMRD)


def _built(metrics: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Metric]:
    kind: Any = Metric  # abstract
    return {
        name: build(f"model.metrics.{name}", settings, kind)
        for name, settings in (metrics or {}).items()
    }
