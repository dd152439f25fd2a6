"""Multiple affinity maps based prediction (MAMP, paper section III-D)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gmrd.nn.pooling import at_least_float32, without_autocast


def unit_positions(features: Float[Tensor, "n c hf wf"]) -> Float[Tensor, "n hf wf c"]:
    """Features of length one at every position, in float32, channels last."""
    return F.normalize(at_least_float32(features.permute(0, 2, 3, 1)), dim=3)


def affinity_maps(
    positions: Float[Tensor, "n hf wf c"], descriptors: Float[Tensor, "n k c"]
) -> Float[Tensor, "n k hf wf"]:
    """Cosine of every position's feature with every descriptor (channels-last memory).

    Args:
        positions: from :func:`unit_positions`.
        descriptors: of any length.
    """
    unit_descriptors = F.normalize(descriptors, dim=2)
    with without_autocast(positions):
        flat = positions.flatten(1, 2) @ unit_descriptors.mT
    return torch.unflatten(flat, 1, positions.shape[1:3]).permute(0, 3, 1, 2)


class AffinityDecoder(nn.Module):
    """Fuses K+2 affinity maps into one logit map; no layer has a bias.

    Args:
        n_descriptors: K.
        n_hidden: channels before the last layer.
        dropout: probability that one of them is dropped.
    """

    def __init__(self, *, n_descriptors: int, n_hidden: int = 100, dropout: float = 0.1) -> None:
        super().__init__()
        k = n_descriptors
        self.reduce = nn.Conv2d(k + 2, k, 1, bias=False)
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

    def forward(self, maps: Float[Tensor, "n k hf wf"]) -> Float[Tensor, "n hf wf"]:
        """The logit at every feature position."""
        fused = F.relu(self.reduce(maps))
        logits: Tensor = self.head(fused + self.residual(fused))
        return logits.squeeze(1)
