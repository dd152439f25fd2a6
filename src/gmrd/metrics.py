"""Metrics of training and validation, pooled over episodes and processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import BinaryF1Score

from gmrd.types import IGNORE_LABEL


class PseudoDice(BinaryF1Score):
    """Dice over all pixels of all episodes: 2·overlap / (predicted + true).

    Ignored pixels do not count. It is 0 if nothing is predicted and nothing is true.
    """

    def __init__(self) -> None:
        super().__init__(ignore_index=IGNORE_LABEL, validate_args=False, sync_on_compute=False)

    def update(
        self,
        probability: Float[Tensor, "batch query h w"],
        masks: Int[Tensor, "batch query h w"],
    ) -> None:
        """Count the pixels of a batch; those above 0.5 are predicted."""
        super().update((probability > 0.5).long(), masks)


class EpisodeMetrics(nn.Module):
    """Mean losses and pseudo-label Dice of the episodes since the last :meth:`reset`.

    The result does not depend on the division of episodes into batches and processes. No update
    waits for the accelerator.

    Args:
        further: metrics by name, updated with foreground probabilities and unmodified masks.
    """

    def __init__(self, further: Mapping[str, Metric] | None = None) -> None:
        super().__init__()
        self.pseudo_dice = PseudoDice()
        self.further = nn.ModuleDict(dict(further or {}))
        for metric in self.further.values():
            cast("Metric", metric).sync_on_compute = False  # compute decides
        self.means = nn.ModuleDict()

    def update(
        self,
        losses: Mapping[str, Tensor],
        probability: Float[Tensor, "batch query h w"],
        masks: Int[Tensor, "batch query h w"],
    ) -> None:
        """Count a batch.

        Args:
            losses: The mean over the batch of ``total`` and of every part, by name.
            probability: Of the foreground.
            masks: 1 in the foreground, ``IGNORE_LABEL`` where pixels are ignored.
        """
        for name, value in losses.items():
            # One copy an episode: MeanMetric drops weights where it does not look for NaN.
            self._mean(name, value).update(value.detach().expand(len(masks)))
        for metric in (self.pseudo_dice, *self.further.values()):
            cast("Metric", metric).update(probability.detach(), masks)

    def compute(self, *, over_processes: bool = True) -> dict[str, Tensor]:
        """The values by the names used in loggers; must be called in all processes at once.

        Args:
            over_processes: Pool the episodes of all processes, which then wait for each other.
        """
        found: dict[str, Tensor] = {}
        for name, metric in self._metrics().items():
            with metric.sync_context(should_sync=over_processes):
                found[name] = metric.compute()
        return found

    def reset(self) -> None:
        """Forget all episodes."""
        for metric in self._metrics().values():
            metric.reset()

    def _metrics(self) -> dict[str, Metric]:
        means = {name: cast("Metric", mean) for name, mean in self.means.items()}
        further = {name: cast("Metric", metric) for name, metric in self.further.items()}
        return {**means, "pseudo_dice": self.pseudo_dice, **further}

    def _mean(self, loss: str, value: Tensor) -> MeanMetric:
        name = "loss" if loss == "total" else f"{loss}_loss"
        if name not in self.means:
            mean = MeanMetric(nan_strategy="disable", sync_on_compute=False)
            self.means[name] = mean.to(value.device)
        return cast("MeanMetric", self.means[name])


class OrganDice(nn.Module):
    """Mean Dice over the cases of each organ, and over the organs."""

    def __init__(self) -> None:
        super().__init__()
        self.means = nn.ModuleDict()

    def update(
        self, organ: str, predicted: Bool[Tensor, "z y x"], true: Bool[Tensor, "z y x"]
    ) -> None:
        """Count a case that shows the organ."""
        if organ not in self.means:
            self.means[organ] = MeanMetric()
        dice = 2 * (predicted & true).sum() / (predicted.sum() + true.sum())
        cast("MeanMetric", self.means[organ]).update(dice)

    def compute(self) -> dict[str, Tensor]:
        """``dice_ORGAN`` of every organ and ``dice``, their mean, as usual in the field."""
        found = {organ: cast("Metric", mean).compute() for organ, mean in self.means.items()}
        named = {f"dice_{organ}": value for organ, value in found.items()}
        return named | ({"dice": torch.stack(list(found.values())).mean()} if found else {})

    def reset(self) -> None:
        """Forget all cases."""
        for mean in self.means.values():
            cast("Metric", mean).reset()
