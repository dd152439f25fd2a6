"""Aligning a query with a support by features: initialisation, affine map, displacement field.

Several initial alignments, from the body's outline and from similar slices, are tried. Each round
then matches every position with all positions of the support, as in coherent point drift
(Myronenko and Song, 2010): a position's expected counterpart is the mean of the support's
positions, weighted by :func:`~gmrd.matching.kernel.resemblance` under the current alignment. In
the fit, it is weighted by its cycle consistency and its sharpness.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from scipy import ndimage
from torch import Tensor

from gmrd.matching.kernel import extended
from gmrd.matching.pairs import Pairs
from gmrd.matching.tokens import TokenGrid

SCALES = np.geomspace(0.85, 1.18, 5)
"""Scales along z, from the query to the support, that are tried as initial alignments."""
STEP_MM = 4.0
LEAST_OVERLAP = 0.3
"""Share of the shorter scan's slices that must overlap the other scan."""
N_STARTS = 8
APART_MM = 25.0
"""Initial alignments closer than this converge to the same result."""
SHEET = 10
"""Rows and columns of the features within the body's box by which slices are compared."""

# Standard deviations (across slices, in plane) of the prior in each round, in mm.
START_ROUNDS = ((35.0, 50.0), (30.0, 45.0), (25.0, 40.0))
AFFINE_ROUNDS = ((30.0, 45.0), (27.0, 41.0), (24.0, 37.0))
FIELD_ROUNDS = ((21.0, 33.0), (18.0, 29.0), (15.0, 25.0))
CYCLE_MM = 15.0
"""Standard deviation of the weight of a match by its cycle error."""
SPREAD_MM = 30.0
"""Standard deviation of the weight of a match by the spread of its counterparts."""
FIELD_SMOOTHING = (18.0, 32.0)
"""Standard deviations (across slices, in plane) of the field's smoothing in mm."""
RIDGE_MM2 = 30.0
STRETCHES = (2 / 3, 3 / 2)
"""Smallest and largest factor by which lengths of two people may differ in any direction."""
NEARLY = 1.06
"""An alignment has collapsed if its mean stretch is less than this many times the smallest. Noise
had up to 1.05."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Alignment:
    """A map from positions in the query to positions in the support, in mm.

    Attributes:
        matrix: affine part; (z, y, x, 1) to (z, y, x).
        field: displacement added to it, (slices, rows, columns, 3) in mm on a grid over the query.
        similarity: mean log of the summed resemblances; higher is better.
        consistency: mean cycle consistency of the positions, 0 to 1.
    """

    matrix: Float32[Tensor, "3 4"]
    field: Float32[Tensor, "z h w 3"]
    similarity: float
    consistency: float

    @property
    def reflected(self) -> bool:
        """Whether the affine part contains a reflection."""
        return float(torch.linalg.det(self.matrix[:, :3])) < 0

    @property
    def collapsed(self) -> bool:
        """Whether it shrinks the query about as far as allowed in all directions, like noise."""
        volume = float(torch.linalg.det(self.matrix[:, :3]).abs())
        return volume < (NEARLY * STRETCHES[0]) ** 3

    def translated(self, offset: Float32[Tensor, "3"]) -> Alignment:
        """The alignment with its positions in the support displaced by ``offset`` (mm)."""
        matrix = torch.cat([self.matrix[:, :3], (self.matrix[:, 3] + offset)[:, None]], dim=1)
        return replace(self, matrix=matrix)

    def of(self, grid: TokenGrid, slices: Sequence[int] | None = None) -> Float32[Tensor, "..."]:
        """Positions in the support that correspond to the cells of ``grid``.

        Args:
            grid: cells of the query.
            slices: the query's slices in ``grid``; None for all.
        """
        field = self.field if slices is None else self.field[list(slices)]
        size = grid.tokens.shape[1:3]
        moved = F.interpolate(
            field.permute(0, 3, 1, 2), tuple(size), mode="bilinear", align_corners=False
        )
        return transformed(self.matrix, grid.positions()) + moved.permute(0, 2, 3, 1)


def transformed(matrix: Float32[Tensor, "3 4"], positions: Float32[Tensor, "*n 3"]) -> Tensor:
    """Apply an affine map to positions in mm."""
    return positions @ matrix[:, :3].T + matrix[:, 3]


def align(query: TokenGrid, support: TokenGrid, query_box: Box, support_box: Box) -> Alignment:
    """Align two scans.

    Args:
        query: coarse tokens, one cell per 8 pixels.
        support: likewise.
        query_box: bounding box of the body in mm (top, bottom, left, right).
        support_box: the same for the support.
    """
    rough = query.pooled(4), support.pooled(4)
    tried = [
        _drift(*rough, _from(matrix, rough[0]), START_ROUNDS)
        for matrix in starts(query, support, query_box, support_box)
    ]
    return realign(query, support, max(tried, key=lambda alignment: alignment.similarity))


def likeness(
    query: TokenGrid, support: TokenGrid, query_box: Box, support_box: Box, alignment: Alignment
) -> float:
    """Similarity of two scans, aligned by their body boxes in plane and as given across slices.

    This compares a support with its mirror image. The arguments are those of :func:`align` and an
    alignment of the query, of which only the map along z is used.
    """
    matrix = torch.cat([alignment.matrix[:1], _plane(query_box, support_box)])
    rough = query.pooled(4), support.pooled(4)
    return _drift(*rough, _from(matrix, rough[0]), START_ROUNDS).similarity


def realign(query: TokenGrid, support: TokenGrid, alignment: Alignment) -> Alignment:
    """Refine an alignment: first its affine part, then the field.

    Args:
        query: coarse tokens, one cell per 8 pixels.
        support: likewise.
        alignment: initial alignment; its field is discarded.
    """
    finer = query.pooled(2), support.pooled(2)
    closer = _drift(*finer, _from(alignment.matrix, finer[0]), AFFINE_ROUNDS)
    return _drift(*finer, closer, FIELD_ROUNDS, smooth_field=True)


@dataclass(frozen=True)
class Correspondence:
    """Soft matches of the query's body cells in the support.

    Attributes:
        counterpart: expected position in the support (mm).
        trust: weight of the match by cycle consistency and sharpness, 0 to 1.
        cycle: cycle consistency alone, 0 to 1.
        total: sum of the weights.
        pairs: of the query's and the support's body cells.
    """

    counterpart: Float32[Tensor, "n 3"]
    trust: Float32[Tensor, " n"]
    cycle: Float32[Tensor, " n"]
    total: Float32[Tensor, " n"]
    pairs: Pairs


def correspond(
    query: TokenGrid, support: TokenGrid, alignment: Alignment, prior: tuple[float, float]
) -> Correspondence:
    """Match all body cells of two scans softly, with a prior around their aligned positions.

    Args:
        query: cells of the query.
        support: likewise.
        alignment: of the two.
        prior: standard deviations (across slices, in plane) in mm.
    """
    across, in_plane = prior
    deviations = torch.tensor([across, in_plane, in_plane])
    here, there = query.positions()[query.body], support.positions()[support.body]
    centre = there.mean(dim=0)
    expected = alignment.of(query)[query.body]
    pairs = Pairs(
        extended(query.tokens[query.body], expected - centre, deviations, query=True),
        extended(support.tokens[support.body], there - centre, deviations, query=False),
    )
    sums, sums_back = pairs.sums(_moments(there), _moments(here))
    counterpart, total, spread = _mean_positions(sums)
    back, _, _ = _mean_positions(sums_back)
    returned, _, _ = _mean_positions(pairs.sums_there(_moments(back)))
    cycle = torch.exp(-0.5 * ((returned - here) / CYCLE_MM).square().sum(dim=1))
    trust = cycle * torch.exp(-0.5 * spread / SPREAD_MM**2)
    return Correspondence(counterpart, trust, cycle, total, pairs)


def starts(
    query: TokenGrid, support: TokenGrid, query_box: Box, support_box: Box
) -> list[Float32[Tensor, "3 4"]]:
    """Initial alignments: body box on body box in plane, and the best along z, best first."""
    plane = _plane(query_box, support_box)
    alike = (_sheets(query, query_box) @ _sheets(support, support_box).T).numpy()
    kept: list[tuple[float, float, float, float]] = []
    middle = float(query.heights.mean())
    for value, scale, offset in sorted(_heights(alike, query, support), reverse=True):
        centre = scale * middle + offset
        if all(abs(centre - other[3]) > APART_MM for other in kept):
            kept.append((value, scale, offset, centre))
        if len(kept) == N_STARTS:
            break
    found = []
    for _, scale, offset, _ in kept or [(0.0, 1.0, 0.0, 0.0)]:
        across = torch.tensor([[scale, 0.0, 0.0, offset]], dtype=torch.float32)
        found.append(torch.cat([across, plane]))
    return found


def _plane(query_box: Box, support_box: Box) -> Float32[Tensor, "2 4"]:
    """Rows y and x of the affine map from box to box."""
    rows = torch.zeros(2, 4)
    for row, edge in enumerate((0, 2)):
        factor, shift = _onto(query_box[edge : edge + 2], support_box[edge : edge + 2])
        rows[row, row + 1], rows[row, 3] = factor, shift
    return rows


def _onto(query: Sequence[float], support: Sequence[float]) -> tuple[float, float]:
    scale = (support[1] - support[0]) / max(query[1] - query[0], 1e-6)
    return scale, support[0] - scale * query[0]


def _heights(
    alike: Float[np.ndarray, "q s"], query: TokenGrid, support: TokenGrid
) -> list[tuple[float, float, float]]:
    """(similarity, scale, offset) of all tried alignments along z."""
    n_query, n_support = alike.shape
    own = query.heights.numpy()
    step = support.thickness
    length = step * n_support
    found: list[tuple[float, float, float]] = []
    for scale in SCALES:
        reach = own[-1] * scale + step
        for offset in np.arange(-reach, length, STEP_MM):
            at = (own * scale + offset) / step
            inside = np.flatnonzero((at > -0.5) & (at < n_support - 0.5))
            if len(inside) < max(1, LEAST_OVERLAP * min(n_query, n_support)):
                continue
            place = np.clip(at[inside], 0, n_support - 1)
            low = np.minimum(place.astype(int), max(n_support - 2, 0))
            high, part = np.minimum(low + 1, n_support - 1), place - low
            value = (alike[inside, low] * (1 - part) + alike[inside, high] * part).mean()
            longest = min(n_query, length / max(query.thickness * scale, 1e-6))
            score = float(value) * math.sqrt(min(len(inside) / longest, 1.0))
            found.append((score, float(scale), float(offset)))
    return found


def _sheets(grid: TokenGrid, box: Box) -> Float32[Tensor, "z d"]:
    """Each slice's features within the box, centred over the volume and normalised."""
    top, bottom, left, right = box
    rows, columns = grid.tokens.shape[1:3]
    along = torch.linspace(0.05, 0.95, SHEET)
    y = (top + along * (bottom - top)) / (grid.cell * rows) * 2 - 1
    x = (left + along * (right - left)) / (grid.cell * columns) * 2 - 1
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    smooth = F.avg_pool2d(grid.tokens.permute(0, 3, 1, 2), 3, 1, 1, count_include_pad=False)
    sampled = F.grid_sample(smooth, places.expand(len(smooth), -1, -1, -1), align_corners=False)
    sheets = sampled.flatten(1)
    return F.normalize(sheets - sheets.mean(dim=0), dim=1)


def _from(matrix: Float32[Tensor, "3 4"], query: TokenGrid) -> Alignment:
    return Alignment(matrix, torch.zeros(*query.tokens.shape[:3], 3), -math.inf, 0.0)


def _drift(
    query: TokenGrid,
    support: TokenGrid,
    alignment: Alignment,
    rounds: Sequence[tuple[float, float]],
    *,
    smooth_field: bool = False,
) -> Alignment:
    """Improve an alignment round by round, either its affine part or its field."""
    here = query.positions()[query.body]
    for prior in rounds:
        found = correspond(query, support, alignment, prior)
        if smooth_field:
            residual = found.counterpart - transformed(alignment.matrix, here)
            field = _smooth_field(query, residual, found.trust)
            alignment = replace(alignment, field=field)
        else:
            matrix = _affine_fit(alignment.matrix, here, found.counterpart, found.trust)
            alignment = replace(alignment, matrix=matrix)
        alignment = replace(
            alignment,
            similarity=float(found.total.clamp(min=1e-30).log().mean()),
            consistency=float(found.cycle.mean()),
        )
        del found  # its weights of pairs of cells must not stand beside the next round's
    return alignment


def _moments(positions: Float32[Tensor, "m 3"]) -> Float32[Tensor, "m 5"]:
    """Positions, their squares, and ones: values whose weighted sums give mean and variance."""
    square = positions.square().sum(dim=1, keepdim=True)
    return torch.cat([positions, square, torch.ones_like(square)], dim=1)


def _mean_positions(
    sums: Float32[Tensor, "n 5"],
) -> tuple[Float32[Tensor, "n 3"], Float32[Tensor, " n"], Float32[Tensor, " n"]]:
    """Weighted means, the sums of the weights, and the variances about the means in mm²."""
    total = sums[:, 4]
    mean = sums[:, :4] / total.clamp(min=1e-30)[:, None]
    return mean[:, :3], total, (mean[:, 3] - mean[:, :3].square().sum(dim=1)).clamp(min=0)


def _affine_fit(
    matrix: Float32[Tensor, "3 4"],
    here: Float32[Tensor, "n 3"],
    counterpart: Float32[Tensor, "n 3"],
    trust: Float32[Tensor, " n"],
) -> Float32[Tensor, "3 4"]:
    """The affine map updated by ridge regression of its residuals."""
    weight = trust / trust.sum().clamp(min=1e-12)
    centre = (here * weight[:, None]).sum(dim=0)
    design = torch.cat([here - centre, torch.ones(len(here), 1)], dim=1)
    weighted = design * weight[:, None]
    ridge = torch.diag(torch.tensor([RIDGE_MM2] * 3 + [1e-6]))
    residual = counterpart - transformed(matrix, here)
    change = torch.linalg.solve(design.T @ weighted + ridge, weighted.T @ residual)
    target = transformed(matrix, centre) + change[3]
    linear = _plausible(matrix[:, :3] + change[:3].T)
    return torch.cat([linear, (target - linear @ centre)[:, None]], dim=1)


def _plausible(linear: Float32[Tensor, "3 3"]) -> Float32[Tensor, "3 3"]:
    """The map with its stretches limited to :data:`STRETCHES`.

    Where neighbouring slices look alike, every slice's expected counterpart is the middle of the
    support, and the fit would lay all of them there.
    """
    left, stretches, right = torch.linalg.svd(linear)
    least, most = STRETCHES
    if least <= float(stretches.min()) and float(stretches.max()) <= most:
        return linear
    bounded: Tensor = left @ torch.diag(stretches.clamp(least, most)) @ right
    return bounded


def _smooth_field(
    query: TokenGrid, residual: Float32[Tensor, "n 3"], trust: Float32[Tensor, " n"]
) -> Float32[Tensor, "z h w 3"]:
    """Normalised Gaussian smoothing of the affine map's residuals; 0 far from trusted matches."""
    across, in_plane = FIELD_SMOOTHING
    deviations = (across / query.thickness, in_plane / query.cell, in_plane / query.cell)
    weights = torch.zeros(query.body.shape)
    weights[query.body] = trust
    values = torch.zeros(*query.body.shape, 3)
    values[query.body] = residual * trust[:, None]
    total = ndimage.gaussian_filter(weights.numpy(), deviations, mode="constant")
    summed = ndimage.gaussian_filter(values.numpy(), (*deviations, 0), mode="constant")
    return torch.from_numpy(summed / (total[..., None] + 1e-3))
