"""What an organ can look like: the annotated one, laid affinely over what was found of it.

Matching decides cell by cell, so an organ grows into a neighbour that looks like it. The annotated
organ as a whole, moved, scaled and sheared to agree best with what was found, cannot. Where it was
laid also tells where to look for more of it: an organ twice the annotated one's size is searched
in a place twice as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32
from torch import Tensor

from gmrd.matching.alignment import Alignment
from gmrd.matching.tokens import TokenGrid

CELL_PX = 4
"""Pixels of a cell that shapes are compared on."""
SURE = 0.3
"""An organ that is nowhere more probable than this has no shape to fit."""
FAINT = 0.05
AROUND = 4.0
"""Deviations of the organ's cells from its centre within which the query is looked at."""
RIDGE = 0.005
"""Weight of the squared change of the alignment, which is in deviations of the organ."""
N_ITERATIONS = 60


@dataclass(frozen=True)
class Shapes:
    """The organs of an annotated scan.

    Attributes:
        masks: share of every pixel that an organ takes.
        spacing: (z, y, x) in mm.
    """

    masks: Float32[Tensor, "z k y x"]
    spacing: tuple[float, float, float]

    @cached_property
    def cells(self) -> Float32[Tensor, "z k h w"]:
        """Share of every cell."""
        return F.avg_pool2d(self.masks, CELL_PX)

    @property
    def cell(self) -> Float32[Tensor, "3"]:
        """Sides of a cell in mm."""
        z, y, x = self.spacing
        return torch.tensor([z, CELL_PX * y, CELL_PX * x])

    def centres(self, organ: int) -> Float32[Tensor, "n 3"]:
        """Where the organ's cells lie, in mm."""
        held = torch.nonzero(self.cells[:, organ] > SURE).float()
        return (held + _OFFSET) * self.cell

    def at(self, organ: int, places: Float32[Tensor, "*n 3"]) -> Float32[Tensor, " *n"]:
        """Share of the organ in places of the support (mm); 0 beyond its volume."""
        mask = self.cells[:, organ]
        extent = self.cell * torch.tensor(mask.shape)
        where = (places + self.cell * (0.5 - _OFFSET)) / extent * 2 - 1
        flat = where.flip(-1).reshape(1, 1, 1, -1, 3)
        sampled: Tensor = F.grid_sample(mask[None, None], flat, align_corners=False)
        return sampled.reshape(places.shape[:-1])


_OFFSET = torch.tensor([0.0, 0.5, 0.5])
"""Across slices positions count from the first slice's centre, in plane from the edge."""


@dataclass(frozen=True)
class OrganFit:
    """Where an annotated organ was laid.

    Attributes:
        change: of the alignment, affine, in deviations of the organ from its centre.
        centre: of the organ in the support, in mm.
        deviation: of its cells from the centre, in mm.
        loss: squared difference to what was found, as a share of it; lower is better.
    """

    change: Float32[Tensor, "3 4"]
    centre: Float32[Tensor, "3"]
    deviation: Float32[Tensor, "3"]
    loss: float

    def places(self, expected: Float32[Tensor, "*n 3"]) -> Float32[Tensor, "*n 3"]:
        """Places in the support (mm) for those where its alignment expects the query's cells."""
        relative = (expected - self.centre) / self.deviation
        return _moved(relative, self.change) * self.deviation + self.centre


Fits = Sequence[Sequence[OrganFit | None]]
"""For every support its organs' fits; None for an organ that was not found."""


def fit_organs(
    probability: Float32[Tensor, "z k y x"],
    heights: Float32[Tensor, " z"],
    pixel: float,
    supports: Sequence[tuple[Shapes, Alignment]],
) -> Fits:
    """Lay every annotated organ over what was found of it, from its support's alignment on.

    Args:
        probability: what was found in the query.
        heights: mm of the query's slices above its first.
        pixel: side of a pixel in mm, the query's and the supports'.
        supports: with their alignments.
    """
    cells = F.avg_pool2d(probability, CELL_PX)
    places = [_expected(alignment, cells, heights, pixel) for _, alignment in supports]
    return [
        [_fitted(cells[:, organ], shapes, organ, expected) for organ in range(cells.shape[1])]
        for (shapes, _), expected in zip(supports, places, strict=True)
    ]


def fitted_shapes(
    probability: Float32[Tensor, "z k y x"],
    heights: Float32[Tensor, " z"],
    pixel: float,
    supports: Sequence[tuple[Shapes, Alignment]],
) -> Float32[Tensor, "z k y x"]:
    """Every organ as annotated, where it agrees best with what was found.

    Of several supports the one whose organ fits best is taken. An organ that was not found stays
    as it is. Arguments as of :func:`fit_organs`.
    """
    fits = fit_organs(probability, heights, pixel, supports)
    fitted = F.avg_pool2d(probability, CELL_PX)
    for organ in range(fitted.shape[1]):
        laid = [
            (fit.loss, place)
            for place, fit in enumerate(of_support[organ] for of_support in fits)
            if fit is not None
        ]
        if laid:
            shapes, alignment = supports[min(laid)[1]]
            fit = fits[min(laid)[1]][organ]
            assert fit is not None
            expected = _expected(alignment, fitted, heights, pixel)
            fitted[:, organ] = shapes.at(organ, fit.places(expected))
    size = list(probability.shape[2:])
    return F.interpolate(fitted, size=size, mode="bilinear", align_corners=False)


def _expected(
    alignment: Alignment, cells: Float32[Tensor, "z k h w"], heights: Float32[Tensor, " z"],
    pixel: float,
) -> Float32[Tensor, "z h w 3"]:  # fmt: skip
    everywhere = torch.ones(cells[:, 0].shape, dtype=torch.bool)
    tokens = torch.zeros(*everywhere.shape, 0)
    return alignment.of(TokenGrid(tokens, everywhere, heights, pixel * CELL_PX))


def _moved(relative: Float32[Tensor, "*n 3"], change: Float32[Tensor, "3 4"]) -> Tensor:
    return relative + relative @ change[:, :3].T + change[:, 3]


def _fitted(
    found: Float32[Tensor, "z h w"],
    shapes: Shapes,
    organ: int,
    expected: Float32[Tensor, "z h w 3"],
) -> OrganFit | None:
    places = shapes.centres(organ)
    if float(found.max()) < SURE or not len(places):
        return None
    centre = places.mean(dim=0)
    deviation = places.std(dim=0, correction=0).clamp(min=5.0)
    relative = (expected - centre) / deviation
    near: Bool[Tensor, "z h w"] = (relative.abs().amax(dim=-1) < AROUND) | (found > FAINT)
    here, target = relative[near], found[near]
    change = torch.zeros(3, 4, requires_grad=True)

    def loss() -> Tensor:
        laid = shapes.at(organ, _moved(here, change) * deviation + centre)
        return (laid - target).square().sum() / target.sum() + RIDGE * change.square().sum()

    optimiser = torch.optim.LBFGS([change], max_iter=N_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[arg-type, no-untyped-call]
    with torch.no_grad():
        return OrganFit(change.detach(), centre, deviation, float(loss()))
