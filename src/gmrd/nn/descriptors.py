"""Generating multiple representative descriptors (GMRD, paper section III-C).

A region of a slice (an organ, or everything else) is described by K generated descriptors, the
mean feature and a boundary feature. Foreground and background have separate generators.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gmrd.nn.pooling import (
    Fill,
    at_least_float32,
    pool_filled,
    upsample_adjoint,
    without_autocast,
)

Activation = Literal["relu", "none"]

_EPS = 1e-5


def dilate(mask: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """Two dilations by 3 x 3, ignoring what is outside the image."""
    return F.max_pool2d(mask.unsqueeze(1), kernel_size=5, stride=1, padding=2).squeeze(1)


def erode(mask: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """Two erosions by 3 x 3, ignoring what is outside the image."""
    return -dilate(-mask)


def foreground_boundary(mask: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """The ring of two pixels inside the mask's edge."""
    return mask - erode(mask)


def background_boundary(mask: Float[Tensor, "n h w"], boundary: str) -> Float[Tensor, "n h w"]:
    """Weights of the background's boundary feature, from the foreground mask.

    ``ring``: the two pixels inside the mask's edge that the dilated background covers.
    ``published``: as in the public code, dilated background minus *mask*: 1 on the whole
    background, 0 on that ring and -1 deeper inside the object.
    """
    background = 1 - mask
    return dilate(background) - (mask if boundary == "published" else background)


class DescriptorGenerator(nn.Module):
    """K descriptors from the features at all positions of a filled region, plus two means.

    An MLP over positions, shared by all channels: Linear(h·w -> K), dropout, ReLU (or
    nothing), Linear(K -> K).

    Args:
        n_descriptors: K.
        image_size: h = w, the slice size.
        dropout: probability after the first layer.
        activation: ``relu`` or ``none``.
    """

    def __init__(
        self, *, n_descriptors: int, image_size: int, dropout: float, activation: Activation
    ) -> None:
        super().__init__()
        self.n_descriptors = n_descriptors
        self.positions = nn.Linear(image_size**2, n_descriptors)
        self.dropout = nn.Dropout(dropout)
        self.activation = nn.ReLU() if activation == "relu" else nn.Identity()
        self.mix = nn.Linear(n_descriptors, n_descriptors)

    def forward(
        self,
        features: Float[Tensor, "n c hf wf"],
        region: Float[Tensor, "n h w"],
        boundary: Float[Tensor, "n h w"],
        fill: Fill,
    ) -> Float[Tensor, "n rows c"]:
        """Describe each region: K generated rows, then the mean row, then the boundary row.

        Computed in float32, even under autocast.
        """
        with without_autocast(features):
            return self._describe(at_least_float32(features), region, boundary, fill)

    def _describe(
        self, features: Tensor, region: Tensor, boundary: Tensor, fill: Fill
    ) -> Float[Tensor, "n rows c"]:
        size, flat = (features.shape[2], features.shape[3]), features.flatten(2)
        pooled = pool_filled(self.positions.weight, region, size, fill)
        hidden = flat @ pooled.mT + self.positions.bias
        generated = self.mix(self.activation(self.dropout(hidden)))
        weights = torch.stack([region, boundary], dim=1).to(flat.dtype)
        weights = weights / (weights.sum(dim=(2, 3), keepdim=True) + _EPS)
        means = upsample_adjoint(weights, size).flatten(2) @ flat.mT
        return torch.cat([generated.mT, means], dim=1)
