"""Tuning on the annotated scans: what tells their organs apart, learned before any query.

One slice of a support plays the query, its other slices the support: they are laid along it by
a random affine map that is about as wrong as an alignment of two people, and labels are carried
as in :mod:`gmrd.matching.dense`. A projection of the tokens is learned so that the labels arrive.
Nothing of a query is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int
from torch import Tensor, nn

from gmrd.matching.dense import Annotated
from gmrd.matching.kernel import TEMPERATURE
from gmrd.matching.scan import Progress, WorkingScan, silent
from gmrd.matching.segmenter import MatchingSupport, Placed
from gmrd.matching.tokens import TokenGrid

LEARNING_RATE = 1e-3
RIDGE = 1e-3
"""Weight of the squared change of the projection."""
N_QUERIES = 256
N_KEYS = 3000
AROUND_MM = 80.0
"""From a drawn cell of an organ, in plane, within which cells play the query."""
REACH = 2.2
"""Deviations of the prior beyond which no cell plays the support."""
WRONG_BY_MM = 8.0
"""Deviation of a wrong alignment's shift."""
WRONG_BY = 0.08
"""Deviation of its scales and shears."""
LEAST_SLICES = 4
"""An organ on fewer annotated slices has too few others to be found from."""
LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class Tuning:
    """What was learned.

    Attributes:
        projection: of tokens, before they are normalised again.
    """

    projection: Float32[Tensor, "c c"]

    def of(self, grid: TokenGrid) -> TokenGrid:
        """The grid with projected tokens."""
        tokens = F.normalize(grid.tokens @ self.projection.T, dim=-1)
        return replace(grid, tokens=tokens)

    def annotated(self, support: Annotated) -> Annotated:
        """The support's cells with projected tokens."""
        return replace(support, grid=self.of(support.grid))

    def support(self, support: MatchingSupport) -> MatchingSupport:
        """A support whose cells are matched by what was learned."""
        tuned = copy(support)
        tuned.coarse, tuned.fine = self.annotated(support.coarse), self.annotated(support.fine)
        return tuned

    def placed(self, placed: Placed) -> Placed:
        """A query whose cells are matched by what was learned; its alignments stay."""
        scan = placed.on_scale
        projected = _Projected(scan.ranks, scan.body, scan.spacing, self)
        return replace(placed, coarse=self.of(placed.coarse), on_scale=projected)


@dataclass(frozen=True)
class _Projected(WorkingScan):
    """A scan whose fine cells, which are encoded only where needed, are projected."""

    tuning: Tuning

    def fine(
        self, encoder: nn.Module, slices: Int[Tensor, " n"], progress: Progress = silent
    ) -> TokenGrid:
        """Projected tokens of some slices."""
        return self.tuning.of(super().fine(encoder, slices, progress))


def tune(
    supports: Sequence[Annotated],
    prior: tuple[float, float],
    n_steps: int,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Tuning | None:
    """Learn from annotated cells; None where no organ spans enough slices.

    Args:
        supports: the same scans with cells of one size or several.
        prior: deviations (across, in plane) in mm of the matching.
        n_steps: of the optimiser.
        seed: of all draws.
        progress: told how far it is.
    """
    drawn = [_Cells(support) for support in supports]
    drawn = [cells for cells in drawn if cells.organs]
    if not drawn:
        return None
    rng = np.random.default_rng(seed)
    learned = _Learned(supports[0].grid.tokens.shape[-1], prior)
    optimiser = torch.optim.Adam(learned.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=max(n_steps, 2), pct_start=0.1
    )
    with torch.enable_grad():
        for step in range(n_steps):
            progress("Tuning on the annotated scan", step, n_steps)
            loss = learned(drawn[int(rng.integers(len(drawn)))], rng)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    progress("Tuning on the annotated scan", n_steps, n_steps)
    return Tuning(learned.projection.detach())


class _Cells:
    """A support's cells of one size, to draw episodes from."""

    def __init__(self, support: Annotated) -> None:
        self.grid, body = support.grid, support.grid.body
        outside = (1 - support.shares.sum(dim=-1, keepdim=True)).clamp(min=0)
        self.shares = torch.cat([support.shares, outside], dim=-1)
        self.positions = self.grid.positions()
        main = self.shares.argmax(dim=-1)
        held = [torch.nonzero((main == k) & body) for k in range(support.shares.shape[-1])]
        self.organs = [at for at in held if len(set(at[:, 0].tolist())) >= LEAST_SLICES]

    def draw(
        self, prior: tuple[float, float], rng: np.random.Generator
    ) -> tuple[Int[Tensor, "n 3"], Int[Tensor, "m 3"], Float32[Tensor, "n 3"]]:
        """Cells of one slice, cells of others, and where the first are expected among these."""
        organ = self.organs[int(rng.integers(len(self.organs)))]
        centre = organ[int(rng.integers(len(organ)))]
        z = int(centre[0])
        plane = self.positions[z, ..., 1:]
        about = self.positions[tuple(centre)][1:]
        near = (plane - about).abs().amax(dim=-1) < AROUND_MM
        queries = _some(torch.nonzero(near & self.grid.body[z]), N_QUERIES, rng)
        queries = torch.cat([torch.full_like(queries[:, :1], z), queries], dim=1)
        expected = _misplaced(self.positions[tuple(queries.T)], rng)
        reach = REACH * torch.tensor([prior[0], prior[1], prior[1]])
        low, high = expected.amin(dim=0) - reach, expected.amax(dim=0) + reach
        within = ((self.positions >= low) & (self.positions <= high)).all(dim=-1) & self.grid.body
        gap = int(rng.integers(3))
        within[max(0, z - gap) : z + gap + 1] = False
        return queries, _some(torch.nonzero(within), N_KEYS, rng), expected


class _Learned(nn.Module):
    """The projection and the loss of an episode."""

    def __init__(self, n_channels: int, prior: tuple[float, float]) -> None:
        super().__init__()
        self.prior = prior
        self.projection = nn.Parameter(torch.eye(n_channels))

    def forward(self, cells: _Cells, rng: np.random.Generator) -> Tensor:
        """Negative log likelihood of the given labels among those that are carried."""
        queries, keys, expected = cells.draw(self.prior, rng)
        change = self.projection - torch.eye(len(self.projection))
        ridge = RIDGE * change.square().sum()
        if not len(keys):
            return ridge
        here, there = (
            F.normalize(cells.grid.tokens[tuple(at.T)] @ self.projection.T, dim=1)
            for at in (queries, keys)
        )
        deviations = torch.tensor(self.prior)[[0, 1, 1]]
        far = torch.cdist(expected / deviations, cells.positions[tuple(keys.T)] / deviations)
        exponents = TEMPERATURE * (here @ there.T) - 0.5 * far.square()
        carried = exponents.softmax(dim=1) @ cells.shares[tuple(keys.T)]
        given = cells.shares[tuple(queries.T)]
        return ridge - (given * carried.clamp(min=LEAST_SHARE).log()).sum(dim=1).mean()


def _misplaced(
    positions: Float32[Tensor, "n 3"], rng: np.random.Generator
) -> Float32[Tensor, "n 3"]:
    """Positions under an affine map that is as wrong as an alignment may be."""
    linear = np.eye(3) + rng.normal(0, WRONG_BY, (3, 3))
    shift = torch.from_numpy(rng.normal(0, WRONG_BY_MM, 3)).float()
    centre = positions.mean(dim=0)
    return (positions - centre) @ torch.from_numpy(linear).float().T + centre + shift


def _some(rows: Int[Tensor, "n d"], most: int, rng: np.random.Generator) -> Int[Tensor, "m d"]:
    """At most so many of the rows, drawn without replacement."""
    if len(rows) <= most:
        return rows
    return rows[torch.from_numpy(rng.choice(len(rows), most, replace=False))]
