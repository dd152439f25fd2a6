"""Annotated scans in, an organ's probabilities in another scan out, with nothing trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32
from scipy import ndimage
from torch import Tensor, nn

from gmrd.matching.alignment import Alignment, align, likeness, realign
from gmrd.matching.dense import Annotated, carry_labels, shares
from gmrd.matching.edges import follow_edges
from gmrd.matching.intensities import on_scale_of
from gmrd.matching.labels import count_pieces
from gmrd.matching.regions import ACTIVE, Regions
from gmrd.matching.scan import Progress, WorkingScan, silent
from gmrd.matching.shape import Shapes, fitted_shapes
from gmrd.matching.tokens import TokenGrid
from gmrd.nn.lite import STRIDE

ACROSS_MM = 15.0
IN_PLANE_PX = 28.0
"""Deviations of the prior in dense matching: mm across slices, pixels of a slice within."""
FOUND = 0.03
"""Coarse probability of any organ from which a place is looked at closely."""
AROUND = 2
"""Cells around such places that are looked at, too."""
SMOOTHING_MM = 4.6
"""Deviation of the last smoothing across slices."""
MIRROR_GAIN = 0.2
"""Of the similarity, from which a scan is called mirrored: where both are alike, neither is."""
SHAPE_WEIGHT = 0.3
"""Of the fitted shapes against what was matched."""


@dataclass
class MatchingSupport:
    """An annotated scan, encoded once for any number of queries.

    Attributes:
        scan: on its working slices.
        masks: share of every pixel that an organ takes, organs along the second axis.
        encoder: of :func:`gmrd.nn.lite.lite_encoder`.
        progress: told how far the encoding is.
    """

    scan: WorkingScan
    masks: Float32[np.ndarray, "z k y x"]
    encoder: nn.Module
    progress: Progress = silent

    @cached_property
    def coarse(self) -> Annotated:
        """Cells of 8 pixels."""
        return self._annotated(self.scan.coarse(self.encoder, self.progress), STRIDE)

    @cached_property
    def mirrored(self) -> Annotated:
        """Cells of 8 pixels of the scan with left and right exchanged."""
        grid = self.scan.mirrored().coarse(self.encoder, self.progress)
        masks = torch.from_numpy(self.masks[..., ::-1].copy())
        return Annotated(grid, shares(masks, STRIDE))

    @cached_property
    def fine(self) -> Annotated:
        """Cells of 4 pixels, of the slices that a query's organ can be matched with."""
        heights = self.scan.heights
        held = heights[torch.from_numpy(self.masks.any(axis=(1, 2, 3)))]
        reach = 4 * ACROSS_MM
        near = (heights >= held.min() - reach) & (heights <= held.max() + reach)
        slices = torch.nonzero(near)[:, 0]
        return self._annotated(
            self.scan.fine(self.encoder, slices, self.progress), STRIDE // 2, slices
        )

    @cached_property
    def n_pieces(self) -> list[int]:
        """In how many pieces every organ is annotated."""
        return [count_pieces(mask > 0.5) for mask in self.masks.transpose(1, 0, 2, 3)]

    @cached_property
    def shapes(self) -> Shapes:
        """The annotated organs as a whole."""
        return Shapes(torch.from_numpy(self.masks), self.scan.spacing)

    @property
    def smallest_ml(self) -> float:
        """Volume of the smallest annotated organ."""
        voxels = float(self.masks.sum(axis=(0, 2, 3)).min())
        return voxels * float(np.prod(self.scan.spacing)) / 1000

    def _annotated(self, grid: TokenGrid, cells: int, slices: Tensor | None = None) -> Annotated:
        masks = self.masks if slices is None else self.masks[slices.numpy()]
        return Annotated(grid, shares(torch.from_numpy(masks), cells))


@dataclass(frozen=True)
class Placed:
    """A query along its supports.

    Attributes:
        scan: the query.
        on_scale: the same with intensities on the scale of the support that resembles it most.
        coarse: tokens of ``on_scale``.
        alignments: with every support.
        mirrored: whether the query resembles that support more when it is mirrored.
    """

    scan: WorkingScan
    on_scale: WorkingScan
    coarse: TokenGrid
    alignments: tuple[Alignment, ...]
    mirrored: bool


def place(
    query: WorkingScan, supports: Sequence[MatchingSupport], progress: Progress = silent
) -> Placed:
    """Align a query with its supports: by its own ranks, then by what these are in the support."""
    encoder = supports[0].encoder
    coarse = query.coarse(encoder, progress)
    alignments = [
        align(coarse, support.coarse.grid, query.box(), support.scan.box()) for support in supports
    ]
    best = max(range(len(supports)), key=lambda place: alignments[place].similarity)
    nearest = supports[best]
    mirrored = _mirrored(query, coarse, nearest, alignments[best])
    ranks = on_scale_of(nearest.scan, query, (coarse, nearest.coarse.grid), alignments[best])
    on_scale = replace(query, ranks=ranks)
    coarse = on_scale.coarse(encoder, progress)
    closer = tuple(
        realign(coarse, support.coarse.grid, alignment)
        for support, alignment in zip(supports, alignments, strict=True)
    )
    return Placed(query, on_scale, coarse, closer, mirrored)


@dataclass(frozen=True)
class Matched:
    """Organs' probabilities on a query's working slices.

    Attributes:
        refined: following the image's regions and edges and the organs' shapes.
        raw: what matching alone says.
    """

    refined: Float32[np.ndarray, "z k y x"]
    raw: Float32[np.ndarray, "z k y x"]


def _mirrored(
    query: WorkingScan, coarse: TokenGrid, support: MatchingSupport, alignment: Alignment
) -> bool:
    mirror = support.scan.mirrored()
    as_stored = likeness(coarse, support.coarse.grid, query.box(), support.scan.box(), alignment)
    exchanged = likeness(coarse, support.mirrored.grid, query.box(), mirror.box(), alignment)
    return alignment.reflected or exchanged > as_stored + MIRROR_GAIN


def match(
    placed: Placed, supports: Sequence[MatchingSupport], progress: Progress = silent
) -> Matched:
    """Find on a query's working slices what is annotated in the supports.

    Coarse, then fine where the coarse look found anything: every position of the query is
    matched with all annotated slices near its place in the aligned supports.
    """
    query, coarse = placed.scan, placed.coarse
    deviations = (ACROSS_MM, IN_PLANE_PX * query.spacing[1])
    paired = list(zip(supports, placed.alignments, strict=True))
    first = carry_labels(
        coarse, coarse.body, [(s.coarse, a.of(coarse)) for s, a in paired], deviations
    )
    raw = _closer(first, placed, paired, deviations, progress)
    return Matched(_refined(raw, query, paired, progress), raw.numpy())


def _closer(
    coarse: Float32[Tensor, "z h w k"],
    placed: Placed,
    supports: Sequence[tuple[MatchingSupport, Alignment]],
    deviations: tuple[float, float],
    progress: Progress,
) -> Float32[Tensor, "z k y x"]:
    """A second look on cells of half the size, where the first found anything."""
    shape = placed.scan.ranks.shape
    where = _found(coarse)
    slices = torch.nonzero(where.flatten(1).any(dim=1))[:, 0]
    probability = torch.zeros(shape[0], coarse.shape[-1], *shape[1:])
    if len(slices):
        grid = placed.on_scale.fine(supports[0][0].encoder, slices, progress)
        found = carry_labels(
            grid,
            where[slices] & grid.body,
            [(s.fine, a.of(grid, slices.tolist())) for s, a in supports],
            deviations,
        )
        probability[slices] = enlarged(found, shape[1:])
    return probability


def _refined(
    probability: Float32[Tensor, "z k y x"],
    query: WorkingScan,
    supports: Sequence[tuple[MatchingSupport, Alignment]],
    progress: Progress,
) -> Float32[np.ndarray, "z k y x"]:
    """Probabilities that follow the query's regions and edges and the shapes of its organs."""
    progress("Refining", 0, 3)
    active = (probability > ACTIVE).any(dim=1).numpy()
    smallest = min(support.smallest_ml for support, _ in supports)
    regions = Regions(query.ranks, active, query.spacing, smallest)
    progress("Refining", 1, 3)
    shapes = fitted_shapes(
        torch.from_numpy(regions.vote(_smooth(probability, query))),
        query.heights,
        query.spacing[1],
        [(support.shapes, alignment) for support, alignment in supports],
    )
    progress("Refining", 2, 3)
    mixed = (1 - SHAPE_WEIGHT) * probability + SHAPE_WEIGHT * shapes
    refined = regions.vote(_smooth(follow_edges(mixed, torch.from_numpy(query.ranks)), query))
    progress("Refining", 3, 3)
    return refined


def _smooth(
    probability: Float32[Tensor, "z k y x"], query: WorkingScan
) -> Float32[np.ndarray, "z k y x"]:
    """Smoothed across slices."""
    deviation = SMOOTHING_MM / query.spacing[0]
    return np.asarray(
        ndimage.gaussian_filter1d(probability.numpy(), deviation, axis=0, mode="nearest")
    )


def _found(probability: Float32[Tensor, "z h w k"]) -> Bool[Tensor, "z h2 w2"]:
    """Fine cells around those where the coarse look found an organ."""
    large = enlarged(probability, tuple(2 * n for n in probability.shape[1:3])).sum(dim=1)
    size = 2 * AROUND + 1
    return F.max_pool2d((large > FOUND).float()[:, None], size, 1, AROUND)[:, 0] > 0


def enlarged(
    probability: Float32[Tensor, "z h w k"], shape: tuple[int, ...]
) -> Float32[Tensor, "z k y x"]:
    """Cells' probabilities on pixels."""
    return F.interpolate(
        probability.permute(0, 3, 1, 2), tuple(shape), mode="bilinear", align_corners=False
    )
