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
from gmrd.matching.dense import Annotated, Evidence, carry_labels, shares
from gmrd.matching.edges import follow_edges
from gmrd.matching.intensities import on_scale_of
from gmrd.matching.labels import count_pieces
from gmrd.matching.regions import ACTIVE, Regions
from gmrd.matching.scan import Progress, WorkingScan, silent
from gmrd.matching.shape import Fits, Shapes, fit_organs, fitted_shapes
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
REGION_WEIGHT = 0.3
"""Of a voxel's regions against itself in the end."""
FITTED_REGION_WEIGHT = 0.5
"""The same for what organs are laid over: their places, not their outlines, are asked there."""


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
    matched with all annotated slices near its place in the aligned supports. Then each organ is
    laid over what was found of it, and what lies near its own place there is matched with it.
    """
    query, coarse = placed.scan, placed.coarse
    deviations = (ACROSS_MM, IN_PLANE_PX * query.spacing[1])
    paired = list(zip(supports, placed.alignments, strict=True))
    first = carry_labels(
        coarse, coarse.body, [(s.coarse, a.of(coarse)) for s, a in paired], deviations
    )
    where = _found(first.probability)
    if not where.any():
        nothing = np.zeros((query.ranks.shape[0], first.organs.shape[-1], *query.ranks.shape[1:]))
        return Matched(nothing.astype(np.float32), nothing.astype(np.float32))
    look = _CloserLook(where, placed, paired, deviations, progress)
    found = look.on_pixels(look.evidence)
    progress("Refining", 0, 4)
    smallest = min(support.smallest_ml for support in supports)
    active = (found > ACTIVE).any(dim=1).numpy()
    regions = Regions(query.ranks, active, query.spacing, smallest)
    progress("Refining", 1, 4)
    raw = look.on_pixels(look.at_own_places(fit_organs(*_seen(found, query, regions, paired))))
    progress("Refining", 2, 4)
    shapes = fitted_shapes(*_seen(raw, query, regions, paired))
    progress("Refining", 3, 4)
    mixed = (1 - SHAPE_WEIGHT) * raw + SHAPE_WEIGHT * shapes
    followed = _smooth(follow_edges(mixed, torch.from_numpy(query.ranks)), query)
    refined = regions.vote(followed, REGION_WEIGHT)
    progress("Refining", 4, 4)
    return Matched(refined, raw.numpy())


class _CloserLook:
    """A second look on cells of half the size, where the first found anything.

    Attributes:
        evidence: with every organ expected where the alignments say.
    """

    def __init__(
        self,
        where: Bool[Tensor, "z h w"],
        placed: Placed,
        paired: Sequence[tuple[MatchingSupport, Alignment]],
        deviations: tuple[float, float],
        progress: Progress,
    ) -> None:
        self.shape = placed.scan.ranks.shape
        self.slices = torch.nonzero(where.flatten(1).any(dim=1))[:, 0]
        self.grid = placed.on_scale.fine(paired[0][0].encoder, self.slices, progress)
        self.where = where[self.slices] & self.grid.body
        self.deviations = deviations
        self.shown = [(s.fine, a.of(self.grid, self.slices.tolist())) for s, a in paired]
        self.evidence = carry_labels(self.grid, self.where, self.shown, deviations)

    def at_own_places(self, fits: Fits) -> Evidence:
        """With every organ expected where it was laid itself; the background as it was."""
        organs = self.evidence.organs.clone()
        for organ in range(organs.shape[-1]):
            of_supports = [of_support[organ] for of_support in fits]
            if any(of_supports):
                shown = [
                    (annotated.only(organ), fit.places(expected) if fit else expected)
                    for (annotated, expected), fit in zip(self.shown, of_supports, strict=True)
                ]
                own = carry_labels(self.grid, self.where, shown, self.deviations)
                organs[..., organ] = own.organs[..., 0]
        return replace(self.evidence, organs=organs)

    def on_pixels(self, evidence: Evidence) -> Float32[Tensor, "z k y x"]:
        """Probabilities of every slice, 0 where nothing was looked at."""
        probability = torch.zeros(self.shape[0], evidence.organs.shape[-1], *self.shape[1:])
        probability[self.slices] = enlarged(evidence.probability, self.shape[1:])
        return probability


def _seen(
    probability: Float32[Tensor, "z k y x"],
    query: WorkingScan,
    regions: Regions,
    paired: Sequence[tuple[MatchingSupport, Alignment]],
) -> tuple[
    Float32[Tensor, "z k y x"], Float32[Tensor, " z"], float, list[tuple[Shapes, Alignment]]
]:
    """What organs are laid over: what was found as the regions see it."""
    voted = torch.from_numpy(regions.vote(_smooth(probability, query), FITTED_REGION_WEIGHT))
    shapes = [(support.shapes, alignment) for support, alignment in paired]
    return voted, query.heights, query.spacing[1], shapes


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
