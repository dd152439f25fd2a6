"""Dense matching: labels carried from annotated slices to every position of a query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32
from torch import Tensor

from gmrd.matching.kernel import TEMPERATURE, extended, resemblance, weighted_sums
from gmrd.matching.tokens import TokenGrid

REACH = 2.8
"""Positions further apart than this many deviations of the prior are not matched."""
NEAR = (3, 9, 9)
"""Cells (slices, rows, columns) centred on an organ's that :meth:`Annotated.thinned` keeps."""
TILE = 2.0
"""Side of the tiles that are matched at a time, in deviations of the prior: the positions of a tile
share most of their candidates."""


@dataclass(frozen=True)
class Annotated:
    """A support's cells with the fraction of each that belongs to each organ.

    Attributes:
        grid: the support's tokens.
        shares: fractions, organs along the last axis.
        standing_for: how many cells each stands for; None for one each.
    """

    grid: TokenGrid
    shares: Float32[Tensor, "z h w k"]
    standing_for: Float32[Tensor, "z h w"] | None = None

    def thinned(self) -> Annotated:
        """Far from all organs only every second row and column, whose cells stand for four.

        Such cells are most of a scan, and neighbours hardly differ: matching takes two thirds of
        the time and finds the same.
        """
        held = (self.shares.sum(dim=-1) > 0).float()[None, None]
        near = F.max_pool3d(held, NEAR, 1, tuple(n // 2 for n in NEAR))[0, 0] > 0
        sparse = torch.zeros_like(near)
        sparse[:, ::2, ::2] = True
        grid = replace(self.grid, body=self.grid.body & (near | sparse))
        return Annotated(grid, self.shares, torch.where(near, 1.0, 4.0))

    def only(self, organ: int) -> Annotated:
        """The cells that contain an organ, with the shares of that organ alone."""
        own = self.shares[..., organ : organ + 1]
        return Annotated(replace(self.grid, body=self.grid.body & (own[..., 0] > 0)), own)


@dataclass(frozen=True)
class Evidence:
    """Evidence for each label in a query's cells: sums of matching weights.

    Attributes:
        organs: for each organ.
        background: for none of the organs.
        scaling: factor on each organ's evidence against that of the other organs, see
            :mod:`gmrd.matching.scaling`; None for 1.
    """

    organs: Float32[Tensor, "z h w k"]
    background: Float32[Tensor, "z h w"]
    scaling: Float32[Tensor, " k"] | None = None

    @property
    def probability(self) -> Float32[Tensor, "z h w k"]:
        """Probability of each organ; 0 where nothing was matched.

        Scaling divides the organs' evidence among them anew; that of the background stays.
        """
        evident = self.organs.sum(dim=-1)
        organs = self.organs
        if self.scaling is not None:
            organs = organs * self.scaling
            organs *= (evident / organs.sum(dim=-1).clamp(min=1e-30))[..., None]
        return organs / (evident + self.background).clamp(min=1e-30)[..., None]


def shares(labels: Float32[Tensor, "z k y x"], cells: int) -> Float32[Tensor, "z h w k"]:
    """Fraction of each cell of ``cells`` × ``cells`` pixels that belongs to each organ."""
    return F.avg_pool2d(labels, cells).permute(0, 2, 3, 1).contiguous()


def carry_labels(
    query: TokenGrid,
    where: Bool[Tensor, "z h w"],
    annotated: Annotated,
    expected: Float32[Tensor, "z h w 3"],
    deviations: tuple[float, float],
    temperature: float = TEMPERATURE,
) -> Evidence:
    """Evidence for each label in the query's cells.

    Args:
        query: the cells to label.
        where: which of them to label.
        annotated: the support's cells.
        expected: positions (mm) at which the query's cells are expected in the support.
        deviations: of the positional prior in mm, (across slices, in plane).
        temperature: weight of the cosine similarity.
    """
    sums = torch.zeros(*query.body.shape, annotated.shares.shape[-1] + 1)
    matcher = _Matcher(annotated, deviations, temperature)
    for z in torch.nonzero(where.flatten(1).any(dim=1))[:, 0].tolist():
        chosen = where[z]
        sums[z][chosen] = matcher(query.tokens[z][chosen], expected[z][chosen])
    return Evidence(sums[..., :-1], sums[..., -1])


def carry_organs(
    evidence: Evidence,
    query: TokenGrid,
    where: Bool[Tensor, "z h w"],
    annotated: Annotated,
    expected: Mapping[int, Float32[Tensor, "z h w 3"]],
    deviations: tuple[float, float],
) -> Evidence:
    """The evidence with some organs expected at places of their own; the background's stays.

    Args:
        evidence: from :func:`carry_labels`.
        query: the cells to label.
        where: which of them to label.
        annotated: the support's cells.
        expected: by organ, positions (mm) at which the query's cells are expected in the support.
        deviations: of the positional prior in mm, (across slices, in plane).
    """
    organs = evidence.organs.clone()
    for organ, places in expected.items():
        own = carry_labels(query, where, annotated.only(organ), places, deviations)
        organs[..., organ] = own.organs[..., 0]
    return replace(evidence, organs=organs)


class _Matcher:
    """A support prepared for matching: its cells as extended vectors, slice by slice."""

    def __init__(
        self, annotated: Annotated, deviations: tuple[float, float], temperature: float
    ) -> None:
        across, in_plane = deviations
        grid, inside = annotated.grid, annotated.grid.body
        self.temperature = temperature
        self.deviations = torch.tensor([across, in_plane, in_plane])
        self.heights = grid.heights
        self.first = torch.cat([torch.zeros(1), inside.flatten(1).sum(dim=1).cumsum(0)]).long()
        self.positions = grid.positions()[inside]
        self.centre = self.positions.mean(dim=0)
        self.keys = extended(
            grid.tokens[inside], self.positions - self.centre, self.deviations,
            query=False, temperature=temperature,
        )  # fmt: skip
        organs = annotated.shares[inside]
        none = (1 - organs.sum(dim=1, keepdim=True)).clamp(min=0)
        self.values = torch.cat([organs, none], dim=1)
        if annotated.standing_for is not None:
            self.values *= annotated.standing_for[inside][:, None]

    def __call__(
        self, tokens: Float32[Tensor, "n c"], expected: Float32[Tensor, "n 3"]
    ) -> Float32[Tensor, "n k1"]:
        """Sums of matching weights for positions of a slice: each organ, then the background."""
        found = torch.zeros(len(tokens), self.values.shape[1])
        tiles = (expected[:, 1:] / (TILE * self.deviations[1:])).floor()
        _, tile_of = torch.unique(tiles, dim=0, return_inverse=True)
        for tile in range(int(tile_of.max()) + 1):
            held = torch.nonzero(tile_of == tile)[:, 0]
            near = self._near(expected[held])
            if len(near):
                queries = extended(
                    tokens[held], expected[held] - self.centre, self.deviations,
                    query=True, temperature=self.temperature,
                )  # fmt: skip
                weights = resemblance(queries, self.keys[near])
                found[held] = weighted_sums(weights, self.values[near])
        return found

    def _near(self, expected: Float32[Tensor, "n 3"]) -> Tensor:
        """Indices of the support's cells within the prior's reach of any of these positions."""
        low, high = expected.min(dim=0).values, expected.max(dim=0).values
        across = REACH * self.deviations[0]
        level = (self.heights >= low[0] - across) & (self.heights <= high[0] + across)
        slices = torch.nonzero(level)[:, 0]
        if not len(slices):
            return slices
        start, stop = int(self.first[slices[0]]), int(self.first[slices[-1] + 1])
        # From the box around the tile's positions, so that its corners are left out.
        places = self.positions[start:stop]
        away = torch.maximum(low - places, places - high).clamp_(min=0).div_(self.deviations)
        return start + torch.nonzero(away.square_().sum(dim=1) <= REACH**2)[:, 0]
