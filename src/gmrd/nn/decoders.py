"""Decoders: from the affinity maps of a path to its logit map.

A decoder is constructed with ``n_descriptors=K`` and its own settings. Its input is the affinity of
each position with K generated descriptors, the mean and the boundary descriptor. With dense
matching (:mod:`gmrd.nn.matching`), ``n_further`` maps follow these.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gmrd.nn.affinity import COSINE_SCALE
from gmrd.values.kinds import Count, Natural, Positive, Share


class AffinityDecoder(nn.Module):
    """MAMP: fuses the affinity maps by convolutions; no layer has a bias (paper, section III-D).

    Args:
        n_descriptors: K.
        n_hidden: channels before the last layer.
        dropout: probability of dropping one of them.
        n_further: additional maps. With any, the logit is initially 0: it corrects what these
            maps give.
    """

    def __init__(
        self,
        *,
        n_descriptors: int,
        n_hidden: Count = 100,
        dropout: Share = 0.1,
        n_further: Natural = 0,
    ) -> None:
        super().__init__()
        k = n_descriptors
        self.reduce = nn.Conv2d(k + 2 + n_further, k, 1, bias=False)
        self.residual = nn.Sequential(
            nn.Conv2d(k, k, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(k, k, 3, padding=1, bias=False),
            nn.ReLU(),
        )
        self.head = nn.Sequential(
            nn.Conv2d(k, n_hidden, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Dropout2d(dropout),
            nn.Conv2d(n_hidden, 1, 1, bias=False),
        )
        if n_further:
            nn.init.zeros_(self.head[-1].weight)  # type: ignore[arg-type]

    def forward(self, maps: Float[Tensor, "n k hf wf"]) -> Float[Tensor, "n hf wf"]:
        """The logit at every feature position."""
        fused = F.relu(self.reduce(maps))
        logits: Tensor = self.head(fused + self.residual(fused))
        return logits.squeeze(1)


class BestCosine(nn.Module):
    """Ablation of MAMP: the best affinity of a position, scaled, is its logit (section IV-D).

    Args:
        n_descriptors: K; not used, since nothing is learned.
        scale: of the cosine.
        n_further: maps beside the descriptors' own; they have no part in it.
    """

    def __init__(
        self, *, n_descriptors: int, scale: Positive = COSINE_SCALE, n_further: Natural = 0
    ) -> None:
        super().__init__()
        self.scale, self.n_further = scale, n_further

    def forward(self, maps: Float[Tensor, "n k hf wf"]) -> Float[Tensor, "n hf wf"]:
        """The logit at every feature position."""
        own = maps[:, : maps.shape[1] - self.n_further]
        return self.scale * own.amax(dim=1)


class NoPath(nn.Module):
    """Ablation of the background's path: its logit is zero, so only the foreground decides."""

    def forward(self, maps: Float[Tensor, "n k hf wf"]) -> Float[Tensor, "n hf wf"]:
        """Zero at every feature position."""
        return maps.new_zeros((maps.shape[0], *maps.shape[2:]))
