"""Organs by dense matching with the annotated scans, without training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt
from torch import Tensor

from gmrd.errors import InputError
from gmrd.io.scan import Scan
from gmrd.matching.dense import shares
from gmrd.matching.labels import evident_pieces, most_probable
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
from gmrd.matching.tuning import Tuning, tune
from gmrd.nn.lite import STRIDE, fused_encoder
from gmrd.predict.frame import Frame
from gmrd.predict.geometry import Grid
from gmrd.predict.judgement import dice_by_matching

SURENESS = 0.1
"""Of two supports whose organ's estimated Dice differs by this, one weighs e times the other."""
LEAST_CELLS = 0.5
"""Smallest total area of an organ, in cells of the fine grid."""


@dataclass(frozen=True)
class Query:
    """A scan on its working slices, aligned with the supports.

    Attributes:
        placed: the slices along each support.
        mirrored: whether the scan is more similar to the most similar support when mirrored.
        grid: the mapping between the slices and the scan's voxels.
    """

    placed: tuple[Placed, ...]
    mirrored: bool
    grid: Grid

    @property
    def consistency(self) -> tuple[float, ...]:
        """For each support, the mean cycle consistency; 0 where the alignment collapsed."""
        return tuple(
            0.0 if placed.alignment.collapsed else placed.alignment.consistency
            for placed in self.placed
        )


@dataclass(frozen=True)
class OnScan(Mapping[int, Float32[np.ndarray, "z y x"]]):
    """Probabilities by label value, resampled to the scan's voxels on demand.

    Attributes:
        slices: probabilities on the working slices.
        organs: the organs' label values.
        grid: the mapping to the scan.
        estimated: by label value, the Dice to expect.
    """

    slices: Float32[np.ndarray, "k z y x"]
    organs: tuple[int, ...]
    grid: Grid
    estimated: Mapping[int, float]

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
    ) -> None:
        self.adapt, self.progress = adapt, progress
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
            InputError: it is a single slice, or constant.
        """
        grid = self.frame.grid(scan)
        if grid.shape[0] < 2:
            raise InputError(
                f"{scan.source or scan.name}: in the direction of the support's slices it is one "
                f"slice of {grid.spacing[0]:.3g} mm, and matching needs two: give more of the scan"
            )
        if scan.image.min() == scan.image.max():
            raise InputError(
                f"{scan.source or scan.name}: every voxel is {scan.image.flat[0]:g}, so there is "
                "nothing to segment: is it the right file?"
            )

    def place(self, scan: Scan, progress: Progress = silent) -> Query:
        """Align a query with the supports."""
        working, grid = self.frame.resample(scan)
        coarse = working.coarse(self.supports[0].encoder, progress)
        placed = tuple(place(working, coarse, support, progress) for support in self.supports)
        nearest = max(range(len(placed)), key=lambda i: placed[i].alignment.similarity)
        return Query(placed, is_mirrored(placed[nearest], self.supports[nearest]), grid)

    def __call__(self, query: Query, *, pieces: bool = True, progress: Progress = silent) -> OnScan:
        """Every organ's probabilities.

        Each support segments the query on its own, and an organ's probabilities are averaged with
        weights by its estimated Dice: matched jointly, one support in whose place for the spleen
        lay a stomach undid what the other had right.

        Args:
            query: the aligned query.
            pieces: keep as many components of each organ as are annotated.
            progress: called during the work.
        """
        mean = _WeightedMean()
        for placed, support, tuned in zip(
            query.placed, self.supports, self._tuned_supports, strict=True
        ):
            projected = placed if self.tuning is None else self.tuning.placed(placed)
            matched = match(projected, tuned, progress)
            raw = matched.raw.transpose(1, 0, 2, 3)
            found = np.ascontiguousarray(matched.refined.transpose(1, 0, 2, 3))
            misfits = matched.misfits
            del matched  # of a long scan, the copy of its probabilities is large
            if pieces:
                self.keep_organs([placed], [support], found)
            mean.add(found, self._estimated(placed, support, found, raw, misfits))
        probabilities = mean.probabilities()
        if pieces and len(self.supports) > 1:
            self.keep_organs(query.placed, self.supports, probabilities)
        values = tuple(self.names)
        estimated = dict(zip(values, mean.estimated().tolist(), strict=True))
        return OnScan(probabilities, values, query.grid, estimated)

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
        placed: Sequence[Placed],
        supports: Sequence[MatchingSupport],
        probabilities: Float32[np.ndarray, "k z y x"],
    ) -> None:
        """Set the probability to 0 in components of an organ's label that are not the organ.

        As many are kept as are annotated, those with the best reverse Dice: by evidence alone, a
        kidney was lost to a stomach.

        Args:
            placed: the query, laid along each support.
            supports: the annotated scans.
            probabilities: of every organ; changed in place.
        """
        labels = most_probable(probabilities, tuple(self.names))
        for organ, (value, probability) in enumerate(zip(self.names, probabilities, strict=True)):
            mask = labels == value
            n_pieces = max(support.n_pieces[organ] for support in supports)
            found = evident_pieces(mask, probability)
            if len(found) > n_pieces:
                scores = []
                for piece in found:
                    cells = torch.zeros(*placed[0].coarse.body.shape, len(self.names))
                    cells[..., organ] = _cells(piece.astype(np.float32))
                    scores.append(self._reverse(placed, supports, cells, [organ])[organ])
                found = [found[best] for best in np.argsort(scores)[::-1][:n_pieces]]
            probability[mask & ~np.any([*found, np.zeros_like(mask)], axis=0)] = 0

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


class _WeightedMean:
    """Organs' probabilities averaged over supports, those that found an organ better weighing more.

    The first support's weights are 1, so that of a single support the mean is what it found.
    """

    def __init__(self) -> None:
        self.total: Float32[np.ndarray, "k z y x"] | None = None
        self.scores: list[Float64[np.ndarray, " k"]] = []

    def add(
        self, found: Float32[np.ndarray, "k z y x"], estimated: Float64[np.ndarray, " k"]
    ) -> None:
        """Add what a support found, which is overwritten, and its estimated Dice."""
        self.scores.append(estimated)
        if self.total is None:
            self.total = found
        else:
            found *= _by_organ(self._weights()[-1])
            self.total += found

    def probabilities(self) -> Float32[np.ndarray, "k z y x"]:
        """The weighted mean."""
        assert self.total is not None
        self.total /= _by_organ(self._weights().sum(axis=0))
        return self.total

    def estimated(self) -> Float64[np.ndarray, " k"]:
        """The weighted mean of the estimated Dice."""
        mean: Float64[np.ndarray, " k"] = np.average(self.scores, axis=0, weights=self._weights())
        return mean

    def _weights(self) -> Float64[np.ndarray, "n k"]:
        weights: Float64[np.ndarray, "n k"] = np.exp(
            (np.stack(self.scores) - self.scores[0]) / SURENESS
        )
        return weights


def _by_organ(values: Float64[np.ndarray, " k"]) -> Float32[np.ndarray, "k 1 1 1"]:
    return values.astype(np.float32)[:, None, None, None]
