"""Organs by dense matching with the annotated scans, without training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, UInt
from torch import Tensor

from gmrd.errors import InputError
from gmrd.io.scan import Scan
from gmrd.matching.dense import shares
from gmrd.matching.labels import keep_pieces, most_probable
from gmrd.matching.reverse import reverse_dice
from gmrd.matching.scan import Progress, WorkingScan, silent
from gmrd.matching.segmenter import (
    MatchingSupport,
    Placed,
    is_mirrored,
    match,
    place,
    prior,
)
from gmrd.matching.tokens import TokenGrid
from gmrd.matching.tuning import Tuning, tune
from gmrd.nn.lite import STRIDE, fused_encoder
from gmrd.predict.frame import Frame
from gmrd.predict.geometry import Grid
from gmrd.predict.judgement import dice_by_matching
from gmrd.predict.shots import OneShot, ShotMean
from gmrd.predict.store import SupportStore

FAINT = 0.01
"""Lower probabilities are what smoothing leaves all around. With them, what a support found would
take 28 MB on disk instead of 3."""
LEAST_CELLS = 0.5
"""Smallest total area of an organ, in cells of the fine grid."""


@dataclass(frozen=True)
class Query:
    """A scan on its working slices, to be laid along the supports.

    Attributes:
        scan: the slices.
        grid: the mapping between the slices and the scan's voxels.
        supports: the annotated scans.
        progress: called while slices are encoded.
    """

    scan: WorkingScan
    grid: Grid
    supports: Sequence[MatchingSupport]
    progress: Progress = silent

    def along(self, support: MatchingSupport) -> Placed:
        """The slices laid along a support."""
        # The coarse tokens of a long scan take gigabytes: not kept for a single support.
        coarse = self._coarse if len(self.supports) > 1 else self._encoded()
        return place(self.scan, coarse, support, self.progress)

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """The slices laid along each support."""
        return tuple(map(self.along, self.supports))

    @property
    def consistency(self) -> tuple[float, ...]:
        """For each support, the mean cycle consistency; 0 where the alignment collapsed."""
        return tuple(placed.consistency for placed in self.placed)

    @property
    def mirrored(self) -> bool:
        """Whether the scan is more similar to the most similar support when mirrored."""
        similarity = [placed.alignment.similarity for placed in self.placed]
        nearest = similarity.index(max(similarity))
        return is_mirrored(self.placed[nearest], self.supports[nearest])

    @cached_property
    def _coarse(self) -> TokenGrid:
        return self._encoded()

    def _encoded(self) -> TokenGrid:
        return self.scan.coarse(self.supports[0].encoder, self.progress)


@dataclass(frozen=True)
class OnScan(Mapping[int, Float32[np.ndarray, "z y x"]]):
    """Probabilities by label value, resampled to the scan's voxels on demand.

    Attributes:
        slices: probabilities on the working slices.
        organs: the organs' label values.
        grid: the mapping to the scan.
        estimated: by label value, the Dice to expect.
        consistency: for each support, the mean cycle consistency of the alignment.
        mirrored: whether the scan is more similar to the most similar support when mirrored.
    """

    slices: Float32[np.ndarray, "k z y x"]
    organs: tuple[int, ...]
    grid: Grid
    estimated: Mapping[int, float]
    consistency: tuple[float, ...]
    mirrored: bool

    def __getitem__(self, value: int) -> Float32[np.ndarray, "z y x"]:
        if value not in self.organs:
            raise KeyError(value)
        return self.grid.scan(self.slices[self.organs.index(value)])

    def __iter__(self) -> Iterator[int]:
        return iter(self.organs)

    def __len__(self) -> int:
        return len(self.organs)

    def labels(self) -> UInt[np.ndarray, "z y x"]:
        """The label value of each voxel's most probable organ."""
        return self.grid.decided(self.slices, partial(most_probable, values=self.organs))


class MatchingMethod:
    """Annotated scans, encoded once for any number of queries.

    Args:
        read: annotated scans with their label maps.
        names: label value to organ name.
        encoder: whose features are matched, see :func:`gmrd.nn.lite.lite_encoder`.
        adapt: steps of tuning on the annotated scans, see :mod:`gmrd.matching.tuning`.
        store: keeps what each support found in a scan, so that a further support costs one match;
            not if anything is tuned, which takes all supports together.

    Attributes:
        names: label value to name, of the organs large enough to match.
        skipped: names of the others.

    Raises:
        InputError: the encoder's weights are missing, or no organ is large enough.
    """

    def __init__(
        self,
        read: Sequence[tuple[Scan, UInt[np.ndarray, "_ _ _"]]],
        names: Mapping[int, str],
        *,
        encoder: str,
        adapt: int = 0,
        progress: Progress = silent,
        store: SupportStore | None = None,
    ) -> None:
        self.adapt, self.progress = adapt, progress
        self.encoder, self.store = encoder, None if adapt else store
        self.frame = Frame.of(read[0][0])
        network = fused_encoder(encoder)
        laid = [self._lay(scan, label, names) for scan, label in read]
        areas = [masks.sum(axis=(0, 2, 3)) / (STRIDE // 2) ** 2 for _, masks in laid]
        large = np.min(areas, axis=0) >= LEAST_CELLS
        self.names = {v: n for (v, n), kept in zip(names.items(), large, strict=True) if kept}
        self.skipped = [n for n, kept in zip(names.values(), large, strict=True) if not kept]
        if not self.names:
            raise InputError(
                f"{read[0][0].source}: {', '.join(self.skipped)} is too small to match on pixels "
                f"of {self.frame.pixel:.2g} mm: crop the scan around the organ"
            )
        self.supports = [
            MatchingSupport(scan, masks[:, large], network, progress) for scan, masks in laid
        ]

    @cached_property
    def tuning(self) -> Tuning | None:
        """What was learned from the annotated scans; None where nothing was to be."""
        if not self.adapt:
            return None
        cells = [annotated for s in self.supports for annotated in (s.coarse, s.fine)]
        return tune(cells, prior(self.frame.pixel), self.adapt, progress=self.progress)

    @cached_property
    def _tuned_supports(self) -> list[MatchingSupport]:
        """The supports with projected tokens; the supports themselves if nothing was learned."""
        if self.tuning is None:
            return self.supports
        return [self.tuning.support(support) for support in self.supports]

    def refuse_shapeless(self, scan: Scan) -> None:
        """Refuse a query that cannot be divided into regions.

        Raises:
            InputError: it is a single slice, smaller than a cell, or constant.
        """
        grid = self.frame.grid(scan)
        if grid.shape[0] < 2:
            raise InputError(
                f"{scan.source or scan.name}: in the direction of the support's slices it is one "
                f"slice of {grid.spacing[0]:.3g} mm, and matching needs two: give more of the scan"
            )
        longest = max(n * mm for n, mm in zip(scan.image.shape, scan.spacing, strict=True))
        if longest < STRIDE * self.frame.pixel:
            raise InputError(
                f"{scan.source or scan.name}: it is {longest:.3g} mm long by its header, which is "
                "too little to match: correct its voxel size"
            )
        if scan.image.min() == scan.image.max():
            raise InputError(
                f"{scan.source or scan.name}: every voxel is {scan.image.flat[0]:g}, so there is "
                "nothing to segment: is it the right file?"
            )

    def place(self, scan: Scan, progress: Progress = silent) -> Query:
        """Lay a query out for the supports."""
        return Query(*self.frame.resample(scan), self.supports, progress)

    def __call__(self, query: Query, *, pieces: bool = True, progress: Progress = silent) -> OnScan:
        """Every organ's probabilities: what each support finds on its own, averaged.

        Args:
            query: the scan.
            pieces: keep as many components of each organ as are annotated.
            progress: called during the work.
        """
        mean = ShotMean()
        for support, tuned in zip(self.supports, self._tuned_supports, strict=True):
            find = partial(self._one_shot, query, support, tuned, pieces, progress)
            mean.add(
                self.store.one_shot(query.scan, support, self.encoder, find, pieces=pieces)
                if self.store
                else find()
            )
        probabilities = mean.probabilities()
        if pieces and len(self.supports) > 1:
            # Each support has chosen its pieces; those that weigh most are the most evident ones.
            keep_pieces(probabilities, self._n_pieces(self.supports), tuple(self.names))
        values = tuple(self.names)
        estimated = dict(zip(values, mean.estimated().tolist(), strict=True))
        consistency = tuple(mean.consistency)
        return OnScan(probabilities, values, query.grid, estimated, consistency, mean.mirrored)

    def _one_shot(
        self,
        query: Query,
        support: MatchingSupport,
        tuned: MatchingSupport,
        pieces: bool,
        progress: Progress,
    ) -> OneShot:
        placed = query.along(support)
        matched = match(self.tuning.placed(placed) if self.tuning else placed, tuned, progress)
        raw = matched.raw.transpose(1, 0, 2, 3)
        found = np.ascontiguousarray(matched.refined.transpose(1, 0, 2, 3))
        misfits = matched.misfits
        del matched  # of a long scan, the copy of its probabilities is large
        if pieces:
            self.keep_organs(placed, support, found)
        for organ in found:  # one by one, because their comparison takes memory, too
            organ[organ < FAINT] = 0
        return OneShot(
            probabilities=found,
            estimated=self._estimated(placed, support, found, raw, misfits),
            similarity=placed.alignment.similarity,
            consistency=placed.consistency,
            mirrored=is_mirrored(placed, support),
        )

    def _estimated(
        self,
        placed: Placed,
        support: MatchingSupport,
        found: Float32[np.ndarray, "k z y x"],
        raw: Float32[np.ndarray, "k z y x"],
        misfits: Sequence[float],
    ) -> Float64[np.ndarray, " k"]:
        """The Dice to expect of each organ as one support found it; 0 where it found nothing."""
        labels = most_probable(found, tuple(self.names))
        masks = [labels == value for value in self.names]
        cells = torch.stack([_cells(mask.astype(np.float32)) for mask in masks], dim=-1)
        reverse = self._reverse([placed], [support], cells, range(len(masks)))
        return np.array([
            dice_by_matching(float(here[mask].sum() / there[mask].sum()), misfit, back)
            if mask.any()
            else 0.0
            for mask, here, there, misfit, back in zip(
                masks, found, raw, misfits, reverse, strict=True
            )
        ])  # fmt: skip

    def keep_organs(
        self,
        placed: Placed,
        support: MatchingSupport,
        probabilities: Float32[np.ndarray, "k z y x"],
    ) -> None:
        """Set the probability to 0 in components of an organ's label that are not the organ.

        As many are kept as are annotated, those with the best reverse Dice: by evidence alone, a
        kidney was lost to a stomach.

        Args:
            placed: the query, laid along the support.
            support: the annotated scan.
            probabilities: of every organ; changed in place.
        """

        def score(organ: int, piece: Bool[np.ndarray, "z y x"]) -> float:
            cells = torch.zeros(*placed.coarse.body.shape, len(self.names))
            cells[..., organ] = _cells(piece.astype(np.float32))
            return self._reverse([placed], [support], cells, [organ])[organ]

        keep_pieces(probabilities, self._n_pieces([support]), tuple(self.names), score)

    def _n_pieces(self, supports: Sequence[MatchingSupport]) -> list[int]:
        """How many components of each organ are annotated, in the support with most."""
        return [max(counts) for counts in zip(*(s.n_pieces for s in supports), strict=True)]

    def reverse(self, query: Query, labels: UInt[np.ndarray, "z y x"]) -> dict[str, float]:
        """Reverse Dice of each organ, for the best support."""
        cells = [_cells(query.grid.shares(labels == v)) for v in self.names]
        organs = range(len(self.names))
        scores = self._reverse(query.placed, self.supports, torch.stack(cells, dim=-1), organs)
        return dict(zip(self.names.values(), scores, strict=True))

    def _reverse(
        self,
        placed: Sequence[Placed],
        supports: Sequence[MatchingSupport],
        cells: Float32[Tensor, "z h w k"],
        organs: Sequence[int],
    ) -> list[float]:
        """Reverse Dice of the organs' shares of coarse cells, for the best support.

        Each of ``organs`` may be where it was located or where the alignment of the scan puts it.
        """
        deviations = prior(self.frame.pixel)
        best = [0.0] * cells.shape[-1]
        for support, along in zip(supports, placed, strict=True):
            back = partial(reverse_dice, support.coarse, along.coarse, cells)
            best = [*map(max, best, back(along.alignment, deviations))]
            for organ in organs:
                located = along.organs[organ]
                if located is not along.alignment:
                    best[organ] = max(best[organ], back(located, deviations)[organ])
        return best

    def _lay(
        self, scan: Scan, label: UInt[np.ndarray, "z y x"], names: Mapping[int, str]
    ) -> tuple[WorkingScan, Float32[np.ndarray, "n k h w"]]:
        working, grid = self.frame.resample(scan)
        masks = [grid.shares(label == value) for value in names]
        return working, np.stack(masks, axis=1)


def _cells(mask: Float32[np.ndarray, "z y x"]) -> Float32[Tensor, "z h w"]:
    """The share of each coarse cell that a mask covers."""
    return shares(torch.from_numpy(mask)[:, None], STRIDE)[..., 0]
