"""Registration of single organs: an annotated mask moved to what was found of the organ.

Matching decides cell by cell, so an organ leaks into a neighbour that looks like it; its annotated
mask, moved, scaled and sheared to agree best with what was found, does not. The registration also
says where to expect the organ: an organ twice the size of the annotated one is searched in a region
twice as large, although the alignment of the whole scan would put its neighbour there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32
from scipy import ndimage
from torch import Tensor

from gmrd.matching.alignment import Alignment
from gmrd.matching.tokens import TokenGrid

CELL_PX = 4
"""Side in pixels of the cells on which masks are compared."""
SURE = 0.3
"""An organ whose probability is nowhere above this counts as not found."""
FAINT = 0.05
AROUND = 4.0
"""The query is compared within this many deviations of the organ's cells from its centre."""
RIDGE = 0.005
"""Weight of the squared change of the alignment, in deviations of the organ."""
N_ITERATIONS = 60


@dataclass(frozen=True)
class Shapes:
    """The organs of an annotated scan.

    Attributes:
        masks: fraction of each pixel that belongs to each organ.
        spacing: (z, y, x) in mm.
    """

    masks: Float32[Tensor, "z k y x"]
    spacing: tuple[float, float, float]

    @cached_property
    def cells(self) -> Float32[Tensor, "z k h w"]:
        """Fraction of each cell that belongs to each organ."""
        return F.avg_pool2d(self.masks, CELL_PX)

    @cached_property
    def attainable(self) -> Float32[Tensor, " k"]:
        """The probability that matching can reach in the middle of each organ, 0 to 1.

        Matching blurs by about a cell: a slab of half the thickness h, in cells, keeps erf(h / √2)
        in its middle. That is 1 for an organ, but about one half for a wall as thin as a cell or
        two. An organ's h is its largest distance from the edge in a slice, in the median slice.
        """
        found = []
        for mask in self.masks.numpy().swapaxes(0, 1) > 0.5:
            depths = [_depth(piece) for piece in mask if piece.any()]
            half = float(np.median(depths)) / CELL_PX if depths else math.inf
            found.append(math.erf(half / math.sqrt(2)))
        return torch.tensor(found)

    @property
    def cell(self) -> Float32[Tensor, "3"]:
        """Sides of a cell in mm."""
        z, y, x = self.spacing
        return torch.tensor([z, CELL_PX * y, CELL_PX * x])

    def centres(self, organ: int) -> Float32[Tensor, "n 3"]:
        """Centres of an organ's cells, in mm."""
        held = torch.nonzero(self.cells[:, organ] > SURE).float()
        return (held + _OFFSET) * self.cell

    def at(self, organ: int, places: Float32[Tensor, "*n 3"]) -> Float32[Tensor, " *n"]:
        """An organ's mask sampled at positions of the support (mm); 0 outside the volume."""
        mask = self.cells[:, organ]
        extent = self.cell * torch.tensor(mask.shape)
        where = (places + self.cell * (0.5 - _OFFSET)) / extent * 2 - 1
        flat = where.flip(-1).reshape(1, 1, 1, -1, 3)
        sampled: Tensor = F.grid_sample(mask[None, None], flat, align_corners=False)
        return sampled.reshape(places.shape[:-1])


def _depth(mask: Bool[np.ndarray, "y x"]) -> float:
    """Largest distance from the edge, in pixels."""
    return float(ndimage.distance_transform_edt(np.pad(mask, 1)).max()) - 0.5


_OFFSET = torch.tensor([0.0, 0.5, 0.5])
"""Across slices positions count from the first slice's centre, in plane from the edge."""


@dataclass(frozen=True)
class OrganRegistration:
    """An annotated organ registered to what was found of it.

    Attributes:
        change: affine correction of the alignment, in deviations of the organ from its centre.
        centre: centre of the organ in the support, in mm.
        deviation: standard deviation of its cells from the centre, in mm.
        loss: squared difference from what was found, relative to its amount; lower is better.
    """

    change: Float32[Tensor, "3 4"]
    centre: Float32[Tensor, "3"]
    deviation: Float32[Tensor, "3"]
    loss: float

    def positions(self, expected: Float32[Tensor, "*n 3"]) -> Float32[Tensor, "*n 3"]:
        """Positions in the support (mm), given those that the alignment of the scan expects."""
        relative = (expected - self.centre) / self.deviation
        return _moved(relative, self.change) * self.deviation + self.centre


def register_organs(
    probability: Float32[Tensor, "z k y x"],
    heights: Float32[Tensor, " z"],
    pixel: float,
    shapes: Shapes,
    alignments: Sequence[Alignment],
) -> list[OrganRegistration | None]:
    """Register each annotated organ to what was found of it, starting from where it is expected.

    Args:
        probability: organ probabilities of the query.
        heights: positions of the query's slices in mm.
        pixel: side of a pixel in mm, the same for query and support.
        shapes: the support's masks.
        alignments: for each of its organs.

    Returns:
        None for an organ that was not found.
    """
    cells = F.avg_pool2d(probability, CELL_PX)
    return [
        _registered(cells[:, organ], shapes, organ, _expected(alignment, cells, heights, pixel))
        for organ, alignment in enumerate(alignments)
    ]


def registered_shapes(
    probability: Float32[Tensor, "z k y x"],
    registrations: Sequence[OrganRegistration | None],
    heights: Float32[Tensor, " z"],
    pixel: float,
    shapes: Shapes,
    alignments: Sequence[Alignment],
) -> Float32[Tensor, "z k y x"]:
    """Each organ's annotated mask where it was registered.

    The probabilities of an organ that was not found stay as they are. The arguments are those of
    :func:`register_organs`, and what it returned.
    """
    masks = F.avg_pool2d(probability, CELL_PX)
    for organ, registration in enumerate(registrations):
        if registration is not None:
            expected = _expected(alignments[organ], masks, heights, pixel)
            masks[:, organ] = shapes.at(organ, registration.positions(expected))
    size = list(probability.shape[2:])
    return F.interpolate(masks, size=size, mode="bilinear", align_corners=False)


def _expected(
    alignment: Alignment, cells: Float32[Tensor, "z k h w"], heights: Float32[Tensor, " z"],
    pixel: float,
) -> Float32[Tensor, "z h w 3"]:  # fmt: skip
    everywhere = torch.ones(cells[:, 0].shape, dtype=torch.bool)
    tokens = torch.zeros(*everywhere.shape, 0)
    return alignment.of(TokenGrid(tokens, everywhere, heights, pixel * CELL_PX))


def _moved(relative: Float32[Tensor, "*n 3"], change: Float32[Tensor, "3 4"]) -> Tensor:
    return relative + relative @ change[:, :3].T + change[:, 3]


def _registered(
    found: Float32[Tensor, "z h w"],
    shapes: Shapes,
    organ: int,
    expected: Float32[Tensor, "z h w 3"],
) -> OrganRegistration | None:
    places = shapes.centres(organ)
    if float(found.max()) < SURE or not len(places):
        return None
    centre = places.mean(dim=0)
    deviation = places.std(dim=0, correction=0).clamp(min=5.0)
    relative = (expected - centre) / deviation
    near: Bool[Tensor, "z h w"] = (relative.abs().amax(dim=-1) < AROUND) | (found > FAINT)
    here, target = relative[near], found[near]
    change = torch.zeros(3, 4, requires_grad=True)
    # With a mask of 1, a thin wall found at less than one half would best be moved away.
    inside = shapes.attainable[organ]

    def loss() -> Tensor:
        mask = inside * shapes.at(organ, _moved(here, change) * deviation + centre)
        return (mask - target).square().sum() / target.sum() + RIDGE * change.square().sum()

    optimiser = torch.optim.LBFGS([change], max_iter=N_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[arg-type, no-untyped-call]
    with torch.no_grad():
        return OrganRegistration(change.detach(), centre, deviation, float(loss()))
