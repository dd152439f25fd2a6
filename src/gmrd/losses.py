"""The losses of an episode: query, alignment and auxiliary (paper, section III-E)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from gmrd.nn import Descriptors, NetworkOutput
from gmrd.nn.pooling import at_least_float32, without_autocast
from gmrd.types import IGNORE_LABEL, Episode
from gmrd.values.kinds import NonNegative, Such

ClassWeights = Annotated[
    Sequence[float | int],
    Such("two numbers, 0 or more", lambda weights: len(weights) == 2 and min(weights) >= 0),
]


class GMRDLoss(nn.Module):
    """query + align + auxiliary_weight · (intra + inter), averaged over episodes.

    Args:
        class_weights: of background and foreground pixels in the query loss.
        auxiliary_weight: of intra + inter; 0 disables them.
        auxiliary_shots: ``mean``: as large for K shots as for one; ``sum``: K times as large, as in
            the public code, which adds it once per shot.
    """

    class_weights: Tensor

    def __init__(
        self,
        *,
        class_weights: ClassWeights = (0.1, 1.0),
        auxiliary_weight: NonNegative = 0.5,
        auxiliary_shots: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        self.auxiliary_weight, self.auxiliary_shots = auxiliary_weight, auxiliary_shots
        self.register_buffer("class_weights", torch.tensor(class_weights), persistent=False)

    def forward(self, output: NetworkOutput, episode: Episode) -> dict[str, Tensor]:
        """The losses by name: ``total``, ``query``, ``align``, ``auxiliary`` (scalars).

        Computed in float32, even under autocast.
        """
        with without_autocast(output.probabilities):
            return self._losses(output, episode)

    def _losses(self, output: NetworkOutput, episode: Episode) -> dict[str, Tensor]:
        valid = output.alignment_valid.float()
        query = negative_log_likelihood(
            output.probabilities, episode.query_masks, self.class_weights
        ).mean()
        align = negative_log_likelihood(
            output.alignment, episode.support_masks.long(), torch.ones_like(self.class_weights)
        )
        align = (align * valid).mean()
        auxiliary = torch.zeros_like(query)
        if self.auxiliary_weight:
            auxiliary = (auxiliary_loss(output.support, output.query) * valid).mean()
            if self.auxiliary_shots == "sum":
                auxiliary = auxiliary * episode.support_masks.shape[1]
        return {
            "total": query + align + self.auxiliary_weight * auxiliary,
            "query": query,
            "align": align,
            "auxiliary": auxiliary,
        }


def negative_log_likelihood(
    probabilities: Float[Tensor, "batch n 2 h w"],
    masks: Int[Tensor, "batch n h w"],
    class_weights: Float[Tensor, "2"],
) -> Float[Tensor, " batch"]:
    """Class-weighted mean of -log p over the pixels of each episode, in float32."""
    eps = torch.finfo(torch.float32).eps
    log_p = at_least_float32(probabilities).clamp(eps, 1 - eps).log()
    counted = masks != IGNORE_LABEL
    target = torch.where(counted, masks, 0)
    nll = -log_p.gather(2, target.unsqueeze(2)).squeeze(2)
    weight = class_weights[target] * counted
    return (nll * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=eps)


def auxiliary_loss(support: Descriptors, query: Descriptors) -> Float[Tensor, " batch"]:
    """Intra + inter of each episode.

    intra pulls support and query descriptors of a region together, inter pushes foreground and
    background apart; both use unit descriptors.
    """
    fs, fq = F.normalize(support.foreground, dim=2), F.normalize(query.foreground, dim=2)
    bs, bq = F.normalize(support.background, dim=2), F.normalize(query.background, dim=2)
    intra = 2 - _similarity(fs, fq) - _similarity(bs, bq)
    inter = F.relu((fs @ bs.mT).mean(dim=(1, 2))) + F.relu((fq @ bq.mT).mean(dim=(1, 2)))
    return intra + inter


def _similarity(
    support: Float[Tensor, "batch k c"], query: Float[Tensor, "batch k c"]
) -> Float[Tensor, " batch"]:
    """Mean over the best match of each generated row and the two matched appended rows."""
    best = (support[:, :-2] @ query[:, :-2].mT).amax(dim=2)
    matched = (support[:, -2:] * query[:, -2:]).sum(dim=2)
    return torch.cat([best, matched], dim=1).mean(dim=1)
