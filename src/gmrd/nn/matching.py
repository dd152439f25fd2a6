"""Dense matching as affinity maps: every query position with every annotated one.

Descriptors say what a region looks like, but not where in it. Here each position of the query
takes the labels of the support's positions that resemble it and lie near the same place, as
:mod:`gmrd.matching.dense` does with nothing trained. Supports must be laid along the query: two
neighbouring slices of one scan are, and so are scans that were aligned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gmrd.nn.pooling import at_least_float32, without_autocast
from gmrd.values.kinds import Positive

N_MAPS = 2
"""Labels carried by likeness and place, and by place alone."""
SUREST = 0.01
"""A carried share counts as no more certain than this far from 0 and 1."""


@dataclass(frozen=True)
class Cells:
    """A support's positions with the share of the region in each.

    Attributes:
        positions: unit features, from :func:`gmrd.nn.affinity.unit_positions`.
        shares: 0 to 1.
    """

    positions: Float[Tensor, "batch shot hf wf c"]
    shares: Float[Tensor, "batch shot hf wf"]

    def repeated(self, n: int) -> Cells:
        """Every episode's cells ``n`` times in a row, once for each of its queries."""
        return Cells(
            self.positions.repeat_interleave(n, dim=0), self.shares.repeat_interleave(n, dim=0)
        )


class DenseMatching(nn.Module):
    """Carries a support's mask to the query, position by position.

    The weight of a pair of positions is ``exp(temperature · cosine − ½ · (distance / width)²)``,
    normalised over the support. Temperature, width and the factor on the logit are learned.

    Args:
        temperature: factor on a cosine, at the start.
        width: deviation of the distance in shares of a slice's side, at the start.
    """

    def __init__(self, *, temperature: Positive = 25.0, width: Positive = 0.11) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.log_width = nn.Parameter(torch.tensor(math.log(width)))
        self.gain = nn.Parameter(torch.tensor(1.0))

    def cells(
        self,
        positions: Float[Tensor, "batch shot hf wf c"],
        masks: Float[Tensor, "batch shot h w"],
    ) -> Cells:
        """A support's cells by its masks."""
        size = (positions.shape[2], positions.shape[3])
        return Cells(positions, F.adaptive_avg_pool2d(masks, size))

    def forward(
        self, positions: Float[Tensor, "n hf wf c"], support: Cells
    ) -> Float[Tensor, "n 2 hf wf"]:
        """The carried shares: by likeness and place, and by place alone."""
        with without_autocast(positions):
            n, rows, columns = positions.shape[:3]
            near = -0.5 * _distances(rows, columns, positions) * (-2 * self.log_width).exp()
            shares = at_least_float32(support.shares).flatten(1)
            place = near.repeat(1, support.shares.shape[1])
            cosines = positions.flatten(1, 2) @ support.positions.flatten(1, 3).mT
            matched = (cosines * self.log_temperature.exp() + place).softmax(dim=2)
            maps = [matched @ shares[..., None], place.softmax(dim=1) @ shares[..., None]]
            return torch.cat(maps, dim=2).mT.reshape(n, N_MAPS, rows, columns)

    def logits(self, maps: Float[Tensor, "n 2 hf wf"]) -> Float[Tensor, "n 2 hf wf"]:
        """Of background and foreground: a softmax of them gives the share itself, at the start."""
        share = maps[:, 0].clamp(SUREST, 1 - SUREST)
        foreground = 0.5 * self.gain * torch.logit(share)
        return torch.stack([-foreground, foreground], dim=1)


def _distances(rows: int, columns: int, like: Tensor) -> Float[Tensor, "p p"]:
    """Squared distances between all positions, in shares of the slice's side."""
    along = [(torch.arange(n, device=like.device) + 0.5) / n for n in (rows, columns)]
    y, x = (part.flatten() for part in torch.meshgrid(*along, indexing="ij"))
    return (y[:, None] - y).square() + (x[:, None] - x).square()
