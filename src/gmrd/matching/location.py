"""Where to expect each organ: its annotated cells, found again by template matching.

The alignment of two scans follows what fills most of them, in the abdomen the liver. Another organ
may lie far from where this puts it: a left kidney lay 80 mm higher in one person than in another
whose livers were aligned. So every organ is also looked for on its own.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int
from torch import Tensor

from gmrd.matching.alignment import Alignment
from gmrd.matching.dense import Annotated
from gmrd.matching.reverse import inverse
from gmrd.matching.tokens import TokenGrid

DEVIATIONS_MM = (60.0, 40.0)
"""Displacements (across slices, in plane) that cost :data:`COST` of the cosine similarity."""
COST = 0.05
REACH_MM = (104.0, 32.0)
"""Largest displacements (across slices, in plane) that are tried."""
STEP_MM = 6.0
"""Displacements across slices are tried at least this far apart."""
MOST_CELLS = 256
"""An organ with more cells is compared at evenly drawn ones."""


def locate(query: TokenGrid, support: Annotated, alignment: Alignment) -> tuple[Alignment, ...]:
    """The alignment for each organ: that of the scan, displaced to where the organ is most similar.

    Args:
        query: coarse tokens.
        support: coarse cells.
        alignment: of the two.
    """
    linear = alignment.matrix[:, :3]
    places = inverse(alignment, query, support.grid)
    tokens = F.pad(_centred(query).flatten(0, 2), (0, 0, 0, 1))
    annotated = _centred(support.grid)
    sizes = torch.tensor([query.thickness, query.cell, query.cell])
    origin = torch.tensor([float(query.heights[0]), query.cell / 2, query.cell / 2])
    cells = ((places - origin) / sizes).round().long()
    tried = _displacements(query)
    deviations = torch.tensor([DEVIATIONS_MM[axis > 0] for axis in range(3)])
    costs = COST * (tried * sizes / deviations).square().sum(dim=1)
    found = []
    for share in support.shares.unbind(dim=-1):
        held = torch.nonzero((share > 0) & support.grid.body)
        at = tuple(held[:: -(-len(held) // MOST_CELLS) or 1].T)
        template = annotated[at] * share[at][:, None] / share[at].sum()
        similar = torch.stack(
            [(template * tokens[_flat(cells[at] + way, query)]).sum() for way in tried]
        )
        best = tried[(similar - costs).argmax()]
        moved = alignment.translated(-linear @ (best * sizes))
        found.append(moved if best.any() else alignment)
    return tuple(found)


def _displacements(query: TokenGrid) -> Int[Tensor, "n 3"]:
    """The displacements that are tried, in cells."""
    step = max(1, round(STEP_MM / query.thickness))
    across = int(REACH_MM[0] / query.thickness) // step
    plane = range(-int(REACH_MM[1] / query.cell), int(REACH_MM[1] / query.cell) + 1)
    levels = range(-across * step, across * step + 1, step)
    return torch.tensor(list(itertools.product(levels, plane, plane)))


def _flat(cells: Int[Tensor, "n 3"], query: TokenGrid) -> Int[Tensor, " n"]:
    """The cells' indices in the flattened grid; for those outside, the one after its last cell."""
    slices, rows, columns = query.body.shape
    inside = ((cells >= 0) & (cells < torch.tensor([slices, rows, columns]))).all(dim=1)
    flat = (cells[:, 0] * rows + cells[:, 1]) * columns + cells[:, 2]
    return torch.where(inside, flat, slices * rows * columns)


def _centred(grid: TokenGrid) -> Float32[Tensor, "z h w c"]:
    """Unit vectors about the body's mean, 0 outside the body."""
    about = grid.tokens - grid.tokens[grid.body].mean(dim=0)
    return F.normalize(about, dim=-1) * grid.body[..., None]
