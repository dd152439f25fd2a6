"""Edge-aware smoothing: probabilities averaged over neighbours of similar intensity."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor

RADIUS = 8
"""Pixels."""
DEVIATION_PX = 5.0
DEVIATION_RANK = 0.06
LEAST = 0.02
"""Slices where no organ is more probable than this are left unchanged."""


def follow_edges(
    probability: Float32[Tensor, "z k y x"], ranks: Float32[Tensor, "z y x"]
) -> Float32[Tensor, "z k y x"]:
    """A joint bilateral filter of every slice, guided by its intensity ranks.

    Neighbours are weighted by distance and by difference in rank, so probabilities that matching
    cells of several millimetres had blurred follow the edges in the image.
    """
    out = probability.clone()
    active = (probability > LEAST).any(dim=1)
    for z in torch.nonzero(active.flatten(1).any(dim=1))[:, 0].tolist():
        rows, columns = (_around(active[z].any(dim=axis), RADIUS) for axis in (1, 0))
        out[z, :, rows, columns] = _filtered(
            probability[z, :, rows, columns], ranks[z, rows, columns]
        )
    return out


def _around(held: Tensor, margin: int) -> slice:
    places = torch.nonzero(held)[:, 0]
    return slice(max(0, int(places[0]) - margin), int(places[-1]) + margin + 1)


def _filtered(
    probability: Float32[Tensor, "k y x"], guide: Float32[Tensor, "y x"]
) -> Float32[Tensor, "k y x"]:
    height, width = guide.shape
    padding = (RADIUS,) * 4
    around = F.pad(probability[None], padding, mode="replicate")[0]
    levels = F.pad(guide[None, None], padding, mode="replicate")[0, 0] / DEVIATION_RANK
    own = guide / DEVIATION_RANK
    total, weights = torch.zeros_like(probability), torch.zeros_like(guide)
    for dy in range(-RADIUS, RADIUS + 1):
        for dx in range(-RADIUS, RADIUS + 1):
            if dy * dy + dx * dx > RADIUS * RADIUS:
                continue
            rows = slice(RADIUS + dy, RADIUS + dy + height)
            columns = slice(RADIUS + dx, RADIUS + dx + width)
            near = math.exp(-0.5 * (dy * dy + dx * dx) / DEVIATION_PX**2)
            weight = (levels[rows, columns] - own).square_().mul_(-0.5).exp_().mul_(near)
            total.addcmul_(around[:, rows, columns], weight)
            weights += weight
    return total / weights
