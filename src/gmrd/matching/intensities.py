"""A query's intensities mapped to the scale of its support, by corresponding tissue.

Ranks make scanners comparable, but not patients: a bright stomach that fills a third of the body
lowers the rank of everything else. The map between the two scales is estimated from tissue found
in both scans; what is in only one of them has no counterpart and no weight.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from gmrd.matching.alignment import FIELD_ROUNDS, Alignment, correspond
from gmrd.matching.scan import WorkingScan
from gmrd.matching.tokens import TokenGrid

FACTOR = 2
"""Coarse cells pooled along each side before they are compared."""
QUANTILES = np.linspace(0.005, 0.995, 64)
LEAST_CELLS = 50.0
"""Total trust that the matches must have; with less, the ranks are left unchanged."""


def on_scale_of(
    support: WorkingScan,
    query: WorkingScan,
    tokens: tuple[TokenGrid, TokenGrid],
    alignment: Alignment,
) -> Float32[np.ndarray, "z y x"]:
    """The query's ranks on the support's scale, by quantile matching.

    The quantiles of corresponding cells are mapped onto each other. The map is monotone and fixes
    0 and 1.

    Args:
        support: gives the scale.
        query: is mapped.
        tokens: coarse cells of the query and of the support.
        alignment: of the two.
    """
    here, there = (grid.pooled(FACTOR) for grid in tokens)
    found = correspond(here, there, alignment, FIELD_ROUNDS[-1])
    if float(found.trust.sum()) < LEAST_CELLS:
        return query.ranks
    counted = found.pairs.sums_here(found.trust / found.total.clamp(min=1e-30))
    own = _quantiles(_means(query, here), found.trust)
    other = _quantiles(_means(support, there), counted)
    start, end = np.array([0.0]), np.array([1.0])
    mapped = np.interp(
        query.ranks, np.concatenate([start, own, end]), np.concatenate([start, other, end])
    )
    return np.asarray(mapped, dtype=np.float32)


def _means(scan: WorkingScan, grid: TokenGrid) -> Float32[Tensor, " n"]:
    """Mean rank of every body cell."""
    side = scan.ranks.shape[1] // grid.body.shape[1]
    return F.avg_pool2d(torch.from_numpy(scan.ranks)[:, None], side)[:, 0][grid.body]


def _quantiles(
    values: Float32[Tensor, " n"], weights: Float32[Tensor, " n"]
) -> Float[np.ndarray, " q"]:
    """Weighted quantiles in ascending order."""
    ordered, places = torch.sort(values, stable=True)
    share = weights[places].double()
    below = (share.cumsum(0) - 0.5 * share) / share.sum()
    return np.asarray(np.interp(QUANTILES, below.numpy(), ordered.double().numpy()))
