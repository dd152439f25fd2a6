"""Token grids of a made-up body, under known transforms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gmrd.matching.tokens import TokenGrid

STEP, CELL, CHANNELS = 8.0, 10.0, 48


def pattern(positions: Tensor) -> Tensor:
    """A unit vector for every position in mm: waves of 60 to 200 mm in all directions."""
    generator = torch.Generator().manual_seed(3)
    directions = F.normalize(torch.randn(CHANNELS, 3, generator=generator), dim=1)
    lengths = 60 + 140 * torch.rand(CHANNELS, generator=generator)
    phases = 6.3 * torch.rand(CHANNELS, generator=generator)
    waves = torch.sin(positions @ (directions / lengths[:, None] * 6.283).T + phases)
    return F.normalize(waves, dim=-1)


def grid(
    n_slices: int = 24, side: int = 32, *, scale: float = 1.0, shift: tuple[float, ...] = (0, 0, 0)
) -> TokenGrid:
    """A scan that shows at ``p`` mm what the plain one shows at ``scale · p + shift``."""
    tokens = torch.zeros(n_slices, side, side, CHANNELS)
    body = torch.zeros(n_slices, side, side, dtype=torch.bool)
    heights = torch.arange(n_slices) * STEP
    plain = TokenGrid(tokens, body, heights, CELL)
    there = scale * plain.positions() + torch.tensor(shift)
    outline = ((there[..., 1:] - 160) / torch.tensor([110.0, 140.0])).square().sum(dim=-1) < 1
    return TokenGrid(pattern(there), outline, heights, CELL)


def box(tokens: TokenGrid) -> tuple[float, float, float, float]:
    """Edges of the body in mm."""
    rows = torch.nonzero(tokens.body.any(dim=0).any(dim=1))[:, 0]
    columns = torch.nonzero(tokens.body.any(dim=0).any(dim=0))[:, 0]
    return (
        float(rows[0]) * CELL, float(rows[-1] + 1) * CELL,
        float(columns[0]) * CELL, float(columns[-1] + 1) * CELL,
    )  # fmt: skip
