"""What an organ can look like: the annotated one, laid affinely over what was found of it.

Matching decides cell by cell, so an organ grows into a neighbour that looks like it. The annotated
organ as a whole, moved, scaled and sheared to agree best with what was found, cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def fitted_shapes(
    probability: Float32[Tensor, "z k y x"],
    heights: Float32[Tensor, " z"],
    pixel: float,
    supports: Sequence[tuple[Shapes, Alignment]],
) -> Float32[Tensor, "z k y x"]:
    """Every organ as annotated, where it agrees best with what was found.

    Each support's organ is fitted on its own, from the support's alignment on; of several
    supports the one whose organ fits best is taken. An organ that was not found stays as it is.

    Args:
        probability: what was found in the query.
        heights: mm of the query's slices above its first.
        pixel: side of a pixel in mm, the query's and the supports'.
        supports: with their alignments.
    """
    cells = F.avg_pool2d(probability, CELL_PX)
    fitted = cells.clone()
    everywhere = torch.ones(cells[:, 0].shape, dtype=torch.bool)
    grid = TokenGrid(torch.zeros(*everywhere.shape, 0), everywhere, heights, pixel * CELL_PX)
    expected = [alignment.of(grid) for _, alignment in supports]
    pooled = [F.avg_pool2d(shapes.masks, CELL_PX) for shapes, _ in supports]
    for organ in range(cells.shape[1]):
        least = float("inf")
        for (shapes, _), masks, places in zip(supports, pooled, expected, strict=True):
            found, loss = _fitted(cells[:, organ], masks[:, organ], shapes, places)
            if loss < least:
                least, fitted[:, organ] = loss, found
    size = list(probability.shape[2:])
    return F.interpolate(fitted, size=size, mode="bilinear", align_corners=False)


def _fitted(
    found: Float32[Tensor, "z h w"],
    mask: Float32[Tensor, "zs hs ws"],
    shapes: Shapes,
    expected: Float32[Tensor, "z h w 3"],
) -> tuple[Float32[Tensor, "z h w"], float]:
    """A support's organ on the query's cells, and by how much it differs from what was found."""
    cell = torch.tensor(shapes.spacing) * torch.tensor([1.0, CELL_PX, CELL_PX])
    held = torch.nonzero(mask > SURE).float()
    if float(found.max()) < SURE or not len(held):
        return found, float("inf")
    # Across slices positions count from the first slice's centre, in plane from the edge.
    offset = torch.tensor([0.0, 0.5, 0.5])
    places = (held + offset) * cell
    centre = places.mean(dim=0)
    deviation = places.std(dim=0, correction=0).clamp(min=5.0)
    relative = (expected - centre) / deviation
    near: Bool[Tensor, "z h w"] = (relative.abs().amax(dim=-1) < AROUND) | (found > FAINT)
    here, target = relative[near], found[near]
    extent = cell * torch.tensor(mask.shape)
    change = torch.zeros(3, 4, requires_grad=True)

    def laid() -> Tensor:
        moved = here + here @ change[:, :3].T + change[:, 3]
        at = (moved * deviation + centre + cell * (0.5 - offset)) / extent * 2 - 1
        where = at.flip(-1)[None, None, None]
        return F.grid_sample(mask[None, None], where, align_corners=False)[0, 0, 0, 0]

    def loss() -> Tensor:
        return (laid() - target).square().sum() / target.sum() + RIDGE * change.square().sum()

    optimiser = torch.optim.LBFGS([change], max_iter=N_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[arg-type, no-untyped-call]
    with torch.no_grad():
        out = torch.zeros_like(found)
        out[near] = laid()
        return out, float(loss())
