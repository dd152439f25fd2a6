"""Multiple affinity maps based prediction (MAMP, paper section III-D)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def affinity_maps(
    features: Float[Tensor, "n c hf wf"], descriptors: Float[Tensor, "n k c"]
) -> Float[Tensor, "n k hf wf"]:
    """Cosine of the feature at every position with every descriptor."""
    unit_features = F.normalize(features.flatten(2).float(), dim=1)
    unit_descriptors = F.normalize(descriptors, dim=2)
    return torch.unflatten(unit_descriptors @ unit_features, 2, features.shape[2:])


class AffinityDecoder(nn.Module):
    """Fuses K+2 affinity maps into one logit map; no layer has a bias."""

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
