"""Training-free segmentation: from annotated scans to organ probabilities in another scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32
from scipy import ndimage
from torch import Tensor, nn

from gmrd.matching.alignment import Alignment, align, likeness, realign
from gmrd.matching.dense import Annotated, Evidence, carry_labels, carry_organs, shares
from gmrd.matching.edges import follow_edges
from gmrd.matching.intensities import on_scale_of
from gmrd.matching.labels import count_pieces
from gmrd.matching.location import locate
from gmrd.matching.regions import ACTIVE, Regions
from gmrd.matching.scaling import local_scaling
from gmrd.matching.scan import Progress, WorkingScan, content_digest, silent
from gmrd.matching.shape import OrganRegistration, Shapes, register_organs, registered_shapes
from gmrd.matching.tokens import TokenGrid
from gmrd.nn.lite import STRIDE

ACROSS_MM = 15.0
IN_PLANE_PX = 28.0
"""Deviations of the positional prior of dense matching: across slices in mm, in plane in pixels."""
FOUND = 0.03
"""Coarse cells with at least this probability of any organ are matched again on fine cells."""
AROUND = 2
"""Margin around such cells, in fine cells."""
SMOOTHING_MM = 4.6
"""Deviation of the Gaussian that smooths probabilities across slices."""
MIRROR_GAIN = 0.2
"""A scan is called mirrored if mirroring raises its similarity to the support by more than this."""
SHAPE_WEIGHT = 0.3
"""Of the registered masks, against the matched probabilities."""
REGION_WEIGHT = 0.3
"""Of a voxel's supervoxels against the voxel itself, in the result."""
REGISTERED_REGION_WEIGHT = 0.5
"""The same where organs are registered, which needs their location rather than their outline."""


@dataclass
class MatchingSupport:
    """An annotated scan, encoded once and used for any number of queries.

    Attributes:
        scan: the scan on its working slices.
        masks: fraction of each pixel that belongs to each organ.
        encoder: from :func:`gmrd.nn.lite.lite_encoder`.
        progress: called while slices are encoded.
    """

    scan: WorkingScan
    masks: Float32[np.ndarray, "z k y x"]
    encoder: nn.Module
    progress: Progress = silent

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its content."""
        return content_digest(self.scan.digest, self.masks)

    @cached_property
    def coarse(self) -> Annotated:
        """Cells of 8 × 8 pixels."""
        return self._annotated(self.scan.coarse(self.encoder, self.progress), STRIDE)

    @cached_property
    def mirrored(self) -> Annotated:
        """Cells of 8 × 8 pixels of the scan with left and right exchanged."""
        grid = self.scan.mirrored().coarse(self.encoder, self.progress)
        masks = torch.from_numpy(self.masks[..., ::-1].copy())
        return Annotated(grid, shares(masks, STRIDE))

    @cached_property
    def fine(self) -> Annotated:
        """Cells of 4 × 4 pixels, of the slices within reach of an annotated one."""
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
        """Number of connected components of each annotated organ."""
        return [count_pieces(mask > 0.5) for mask in self.masks.transpose(1, 0, 2, 3)]

    @cached_property
    def shapes(self) -> Shapes:
        """The annotated masks, for registration."""
        return Shapes(torch.from_numpy(self.masks), self.scan.spacing)

    @property
    def smallest_ml(self) -> float:
        """Volume of the smallest annotated organ, in ml."""
        voxels = float(self.masks.sum(axis=(0, 2, 3)).min())
        return voxels * float(np.prod(self.scan.spacing)) / 1000

    def _annotated(self, grid: TokenGrid, cells: int, slices: Tensor | None = None) -> Annotated:
        masks = self.masks if slices is None else self.masks[slices.numpy()]
        return Annotated(grid, shares(torch.from_numpy(masks), cells))


@dataclass(frozen=True)
class Placed:
    """A query laid along a support.

    Attributes:
        scan: the query.
        on_scale: the query with its intensities mapped to the support's scale.
        coarse: coarse tokens of ``on_scale``.
        alignment: of the scans.
        organs: where each organ is expected; ``alignment`` itself where that is the best.
    """

    scan: WorkingScan
    on_scale: WorkingScan
    coarse: TokenGrid
    alignment: Alignment
    organs: tuple[Alignment, ...]

    @property
    def consistency(self) -> float:
        """Mean cycle consistency of the alignment, 0 to 1; 0 where it collapsed."""
        return 0.0 if self.alignment.collapsed else self.alignment.consistency


def place(
    query: WorkingScan, coarse: TokenGrid, support: MatchingSupport, progress: Progress = silent
) -> Placed:
    """Align a query with a support, first by its own ranks, then on the support's scale.

    Args:
        query: the scan.
        coarse: its coarse tokens.
        support: the annotated scan.
        progress: called while slices are encoded.
    """
    there = support.coarse.grid
    first = align(coarse, there, query.box(), support.scan.box())
    ranks = on_scale_of(support.scan, query, (coarse, there), first)
    on_scale = replace(query, ranks=ranks)
    coarse = on_scale.coarse(support.encoder, progress)
    closer = realign(coarse, there, first)
    return Placed(query, on_scale, coarse, closer, locate(coarse, support.coarse, closer))


def is_mirrored(placed: Placed, support: MatchingSupport) -> bool:
    """Whether a query is more similar to its support when mirrored."""
    alignment, box = placed.alignment, placed.scan.box()
    mirror = support.scan.mirrored()
    as_stored = likeness(placed.coarse, support.coarse.grid, box, support.scan.box(), alignment)
    exchanged = likeness(placed.coarse, support.mirrored.grid, box, mirror.box(), alignment)
    return alignment.reflected or exchanged > as_stored + MIRROR_GAIN


@dataclass(frozen=True)
class Matched:
    """Organ probabilities on a query's working slices.

    Attributes:
        refined: after regions, shapes and edges were taken into account.
        raw: from matching alone.
        misfits: of each organ, the squared difference of its registered mask from what was found,
            relative to its amount; 1 for an organ that was not found.
    """

    refined: Float32[np.ndarray, "z k y x"]
    raw: Float32[np.ndarray, "z k y x"]
    misfits: Sequence[float]


def prior(pixel: float) -> tuple[float, float]:
    """Deviations of the positional prior in mm (across slices, in plane), for a pixel size."""
    return ACROSS_MM, IN_PLANE_PX * pixel


def match(placed: Placed, support: MatchingSupport, progress: Progress = silent) -> Matched:
    """Segment a query: dense matching with the support, then refinement.

    Every position of the query is matched with the annotated slices near its aligned position,
    first on coarse cells, then on fine ones where the coarse cells found anything; an organ near
    the place where it was located. Each is then registered on its own to what was found of it, and
    matched again from there. Where its annotated mask agrees less with what is found then, the
    registration led astray, and what was found before stands.

    Args:
        placed: the query, laid along the support.
        support: the annotated scan.
        progress: called during the work.
    """
    query, coarse = placed.scan, placed.coarse
    deviations = prior(query.spacing[1])
    scaling = local_scaling(coarse, support.coarse)
    rough = _located(coarse, coarse.body, support.coarse, placed, deviations)
    rough = replace(rough, scaling=scaling)
    where = _found(rough.probability)
    if not where.any():
        n_slices, *sides = query.ranks.shape
        nothing = np.zeros((n_slices, rough.organs.shape[-1], *sides), dtype=np.float32)
        return Matched(nothing, nothing.copy(), [1.0] * nothing.shape[1])
    look = _FineMatching(where, placed, support, deviations, scaling, progress)
    progress("Refining", 0, 4)
    frame = query.heights, query.spacing[1], support.shapes, placed.organs
    # Twice, because finding the regions of a long scan needs the memory.
    located, on_pixels = look.evidence, partial(_on_pixels, query, look.slices)
    active = (on_pixels(located) > ACTIVE).any(dim=1).numpy()
    regions = Regions(query.ranks, active, query.spacing, support.smallest_ml)
    found = on_pixels(located)
    progress("Refining", 1, 4)
    first = register_organs(_voted(found, query, regions), *frame)
    evidence = look.with_registered(first)
    del found, look  # of a long scan, each is a fifth of a gigabyte and more
    progress("Refining", 2, 4)
    raw = on_pixels(evidence)
    fits = register_organs(_voted(raw.clone(), query, regions), *frame)
    astray = [organ for organ, fit in enumerate(fits) if led_astray(first[organ], fit)]
    if astray:
        for organ in astray:
            evidence.organs[..., organ] = located.organs[..., organ]
            fits[organ] = first[organ]
        del raw
        raw = on_pixels(evidence)
    del located, evidence
    shapes = registered_shapes(_voted(raw.clone(), query, regions), fits, *frame)
    progress("Refining", 3, 4)
    mixed = (1 - SHAPE_WEIGHT) * raw + SHAPE_WEIGHT * shapes
    del shapes
    followed = _smooth(follow_edges(mixed, torch.from_numpy(query.ranks)), query)
    del mixed
    refined = regions.vote(followed, REGION_WEIGHT)
    progress("Refining", 4, 4)
    found_alone = raw.numpy()
    for probability in (refined, found_alone):
        _restore(probability, support)
    return Matched(refined, found_alone, [1.0 if fit is None else fit.loss for fit in fits])


def _located(
    grid: TokenGrid,
    where: Bool[Tensor, "z h w"],
    shown: Annotated,
    placed: Placed,
    deviations: tuple[float, float],
    slices: Sequence[int] | None = None,
) -> Evidence:
    """The evidence with every organ expected where it was located."""
    evidence = carry_labels(grid, where, shown, placed.alignment.of(grid, slices), deviations)
    moved = {
        organ: own.of(grid, slices)
        for organ, own in enumerate(placed.organs)
        if own is not placed.alignment
    }
    return carry_organs(evidence, grid, where, shown, moved, deviations)


def led_astray(before: OrganRegistration | None, after: OrganRegistration | None) -> bool:
    """Whether an organ agrees less with its annotated mask when matched where that was laid."""
    if before is None:
        return False
    return after is None or after.loss > before.loss


class _FineMatching:
    """Matching on fine cells, where the coarse cells found anything.

    Attributes:
        evidence: with every organ expected where it was located.
    """

    def __init__(
        self,
        where: Bool[Tensor, "z h w"],
        placed: Placed,
        support: MatchingSupport,
        deviations: tuple[float, float],
        scaling: Float32[Tensor, " k"],
        progress: Progress,
    ) -> None:
        self.placed = placed
        self.slices = torch.nonzero(where.flatten(1).any(dim=1))[:, 0]
        self.grid = placed.on_scale.fine(support.encoder, self.slices, progress)
        self.where = where[self.slices] & self.grid.body
        self.deviations = deviations
        self.shown = support.fine.thinned()
        evidence = _located(
            self.grid, self.where, self.shown, placed, deviations, self.slices.tolist()
        )
        self.evidence = replace(evidence, scaling=scaling)

    def with_registered(self, registrations: Sequence[OrganRegistration | None]) -> Evidence:
        """The evidence with each organ expected where it was registered; the background's stays."""
        slices = self.slices.tolist()
        places = {
            organ: fit.positions(self.placed.organs[organ].of(self.grid, slices))
            for organ, fit in enumerate(registrations)
            if fit is not None
        }
        return carry_organs(
            self.evidence, self.grid, self.where, self.shown, places, self.deviations
        )


def _on_pixels(
    query: WorkingScan, slices: Tensor, evidence: Evidence
) -> Float32[Tensor, "z k y x"]:
    """Probabilities of all slices from the evidence of some; 0 where nothing was matched."""
    n_slices, *sides = query.ranks.shape
    probability = torch.zeros(n_slices, evidence.organs.shape[-1], *sides)
    probability[slices] = enlarged(evidence.probability, sides)
    return probability


def _voted(
    probability: Float32[Tensor, "z k y x"], query: WorkingScan, regions: Regions
) -> Float32[Tensor, "z k y x"]:
    """Probabilities averaged within regions, in place, which organs are registered to."""
    voted = regions.vote(_smooth(probability, query), REGISTERED_REGION_WEIGHT)
    return torch.from_numpy(voted)


def _smooth(
    probability: Float32[Tensor, "z k y x"], query: WorkingScan
) -> Float32[np.ndarray, "z k y x"]:
    """Probabilities smoothed across slices, in place."""
    deviation = SMOOTHING_MM / query.spacing[0]
    organs = probability.numpy()
    for organ in organs.transpose(1, 0, 2, 3):
        organ[:] = ndimage.gaussian_filter1d(organ, deviation, axis=0, mode="nearest")
    return organs


def _restore(probability: Float32[np.ndarray, "z k y x"], support: MatchingSupport) -> None:
    """Give back half of what blurring takes from the probability of thin organs, in place.

    With all of it, rings of 8 mm in abdominal organs were found too thick.
    """
    probability /= ((1 + support.shapes.attainable.numpy()) / 2)[:, None, None]
    np.minimum(probability, 1.0, out=probability)


def _found(probability: Float32[Tensor, "z h w k"]) -> Bool[Tensor, "z h2 w2"]:
    """Fine cells at and around the coarse cells where an organ was found."""
    large = enlarged(probability, tuple(2 * n for n in probability.shape[1:3])).sum(dim=1)
    size = 2 * AROUND + 1
    return F.max_pool2d((large > FOUND).float()[:, None], size, 1, AROUND)[:, 0] > 0


def enlarged(
    probability: Float32[Tensor, "z h w k"], shape: Sequence[int]
) -> Float32[Tensor, "z k y x"]:
    """Probabilities of cells, interpolated to pixels."""
    return F.interpolate(
        probability.permute(0, 3, 1, 2), tuple(shape), mode="bilinear", align_corners=False
    )
