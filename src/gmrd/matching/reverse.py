"""Reverse Dice: the support segmented back from the query's result, against its annotation.

If an organ was found in the right place, matching back from it finds the annotated organ again; if
something else was mistaken for it, it does not. This needs no ground truth of the query.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor

from gmrd.matching.alignment import Alignment
from gmrd.matching.dense import Annotated, carry_labels
from gmrd.matching.tokens import TokenGrid

N_INVERSIONS = 4


def reverse_dice(
    support: Annotated,
    query: TokenGrid,
    found: Float32[Tensor, "z h w k"],
    alignment: Alignment,
    deviations: tuple[float, float],
) -> list[float]:
    """Soft Dice of each annotated organ with its reverse segmentation.

    Args:
        support: coarse cells with the annotated shares.
        query: coarse cells.
        found: share of each query cell that was labelled as each organ.
        alignment: of the query to the support.
        deviations: (across, in plane) of the prior in mm.
    """
    expected = inverse(alignment, query, support.grid)
    back = carry_labels(
        support.grid, support.grid.body, Annotated(query, found), expected, deviations
    ).probability
    scores = []
    for organ in range(found.shape[-1]):
        here, there = support.shares[..., organ], back[..., organ]
        overlap = torch.minimum(here, there).sum()
        scores.append(float(2 * overlap / (here.sum() + there.sum()).clamp(min=1e-6)))
    return scores


def inverse(
    alignment: Alignment, query: TokenGrid, support: TokenGrid
) -> Float32[Tensor, "z h w 3"]:
    """Position in the query (mm) of each cell of the support, by fixed-point iteration."""
    linear = torch.linalg.inv(alignment.matrix[:, :3])
    target = support.positions() - alignment.matrix[:, 3]
    place: Tensor = target @ linear.T
    rows, columns = query.tokens.shape[1:3]
    sizes = torch.tensor([rows * query.cell, columns * query.cell])
    heights = query.heights
    length = float(heights[-1] - heights[0]) or 1.0
    field = alignment.field.permute(3, 0, 1, 2)[None]
    for _ in range(N_INVERSIONS):
        where = torch.stack(
            [
                place[..., 2] / sizes[1] * 2 - 1,
                place[..., 1] / sizes[0] * 2 - 1,
                (place[..., 0] - heights[0]) / length * 2 - 1,
            ],
            dim=-1,
        )
        # Across slices the grid ends on its outer samples; in plane, half a cell beyond them.
        depth = alignment.field.shape[0]
        where[..., 2] *= (depth - 1) / depth
        moved = F.grid_sample(field, where[None], align_corners=False, padding_mode="border")[0]
        place = (target - moved.permute(1, 2, 3, 0)) @ linear.T
    return place
