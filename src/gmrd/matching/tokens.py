"""The features that are matched: a unit vector for each cell of a scan's working slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32, Int
from torch import Tensor

LEVEL_WEIGHTS = (0.5, 1.0)
"""Weights of the shallower and the deeper feature level in the cosine similarity."""


@dataclass(frozen=True)
class TokenGrid:
    """Unit vectors on a regular grid, and their positions.

    Attributes:
        tokens: a unit vector per cell.
        body: cells inside the patient.
        heights: of each slice above the volume's first, in mm.
        cell: side of a cell in mm.
    """

    tokens: Float32[Tensor, "z h w c"]
    body: Bool[Tensor, "z h w"]
    heights: Float32[Tensor, " z"]
    cell: float

    @property
    def thickness(self) -> float:
        """Distance between the first slices in mm; 1 for a single slice."""
        return float(self.heights[1] - self.heights[0]) if len(self.heights) > 1 else 1.0

    def positions(self) -> Float32[Tensor, "z h w 3"]:
        """Centre of each cell (z, y, x) in mm; y and x from the corner of the slice."""
        rows, columns = ((torch.arange(n) + 0.5) * self.cell for n in self.tokens.shape[1:3])
        return torch.stack(torch.meshgrid(self.heights, rows, columns, indexing="ij"), dim=-1)

    def pooled(self, factor: int) -> TokenGrid:
        """A coarser grid: the mean of the body's tokens over ``factor`` × ``factor`` cells."""
        inside = self.body[:, None].float()
        total = F.avg_pool2d(self.tokens.permute(0, 3, 1, 2) * inside, factor)
        share = F.avg_pool2d(inside, factor)
        mean = (total / share.clamp(min=1e-3)).permute(0, 2, 3, 1)
        return TokenGrid(
            tokens=F.normalize(mean, dim=-1),
            body=share[:, 0] > 0.3,
            heights=self.heights,
            cell=self.cell * factor,
        )

    def at(self, slices: Int[Tensor, " n"]) -> TokenGrid:
        """Some of the slices."""
        return TokenGrid(self.tokens[slices], self.body[slices], self.heights[slices], self.cell)


def as_tokens(levels: Sequence[Float32[Tensor, "z _ h w"]]) -> Float32[Tensor, "z h w c"]:
    """Feature levels concatenated; each is normalised per cell and centred over the volume.

    The levels are overwritten, because those of a long scan are large.

    The mean describes the scan as a whole and does not distinguish its organs. It includes the
    air: with the mean of the body alone, two of three abdominal pairs matched as well and the
    third lost 10 points of Dice.
    """
    joined = [features.permute(0, 2, 3, 1) for features in levels]
    for features, weight in zip(joined, LEVEL_WEIGHTS, strict=True):
        unit = _normalised(features)
        unit -= unit.mean(dim=(0, 1, 2))
        unit *= weight / unit.norm(dim=-1).mean().clamp(min=1e-6)
    return _normalised(torch.cat(joined, dim=-1))


def _normalised(vectors: Float32[Tensor, "z h w c"]) -> Float32[Tensor, "z h w c"]:
    """The vectors, scaled to unit length in place."""
    return vectors.div_(vectors.norm(dim=-1, keepdim=True).clamp(min=1e-12))
