"""Organs by dense matching with the annotated scans: nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int, UInt

from gmrd.errors import InputError
from gmrd.io.scan import Scan
from gmrd.matching.alignment import Alignment, align
from gmrd.matching.dense import shares
from gmrd.matching.labels import evident_pieces, most_probable
from gmrd.matching.reverse import reverse_dice
from gmrd.matching.scan import Progress, WorkingScan, silent
from gmrd.matching.segmenter import ACROSS_MM, IN_PLANE_PX, MatchingSupport, match
from gmrd.nn.lite import STRIDE, lite_encoder
from gmrd.predict.frame import Frame
from gmrd.predict.geometry import Grid

LEAST_CELLS = 0.5
"""Cells of the fine grid that an organ must fill in all: less is a speck."""


@dataclass(frozen=True)
class Laid:
    """A query on its working slices.

    Attributes:
        scan: the slices.
        grid: the way between them and the query's voxels.
    """

    scan: WorkingScan
    grid: Grid


class MatchingMethod:
    """Annotated scans, encoded once for any number of queries.

    Args:
        read: annotated scans with their label maps.
        names: label value to organ name.
        encoder: whose features are matched, see :func:`gmrd.nn.lite.lite_encoder`.

    Attributes:
        names: of the organs that are large enough to be matched.
        skipped: names of those that are not.

    Raises:
        InputError: the encoder's weights are missing, or no organ is large enough.
    """

    def __init__(
        self,
        read: Sequence[tuple[Scan, Int[np.ndarray, "_ _ _"]]],
        names: Mapping[int, str],
        *,
        encoder: str,
        progress: Progress = silent,
    ) -> None:
        self.frame = Frame.of(read[0][0])
        network = lite_encoder(encoder)
        laid = [self._lay(scan, label, names) for scan, label in read]
        areas = [masks.sum(axis=(0, 2, 3)) / (STRIDE // 2) ** 2 for _, masks in laid]
        large = np.min(areas, axis=0) >= LEAST_CELLS
        self.names = {v: n for (v, n), kept in zip(names.items(), large, strict=True) if kept}
        self.skipped = [n for n, kept in zip(names.values(), large, strict=True) if not kept]
        if not self.names:
            raise InputError(
                f"{read[0][0].source}: {', '.join(self.skipped)} is too small to be matched on "
                f"pixels of {self.frame.pixel:.2g} mm: crop the scan to the organ's surroundings"
            )
        self.supports = [
            MatchingSupport(scan, masks[:, large], network, progress) for scan, masks in laid
        ]

    def lay(self, scan: Scan) -> Laid:
        """A query on working slices."""
        return Laid(*self.frame.lay(scan))

    def __call__(
        self, query: Laid, progress: Progress = silent
    ) -> tuple[dict[int, Float32[np.ndarray, "z y x"]], tuple[Alignment, ...]]:
        """Every label's probability on the scan's voxels, and the alignments with the supports."""
        matched = match(query.scan, self.supports, progress)
        on_slices = matched.probabilities.transpose(1, 0, 2, 3)
        return {
            value: query.grid.scan(np.ascontiguousarray(probability))
            for value, probability in zip(self.names, on_slices, strict=True)
        }, matched.alignments

    def align(self, query: Laid) -> tuple[Alignment, ...]:
        """The alignments alone."""
        coarse = query.scan.coarse(self.supports[0].encoder)
        return tuple(
            align(coarse, support.coarse.grid, query.scan.box(), support.scan.box())
            for support in self.supports
        )

    def label_map(
        self,
        query: Laid,
        probabilities: Mapping[int, Float32[np.ndarray, "z y x"]],
        alignments: Sequence[Alignment],
        *,
        pieces: bool,
    ) -> UInt[np.ndarray, "z y x"]:
        """Labels by the most probable organ; with ``pieces``, as many of each as are annotated.

        Where an organ has more pieces than that, those are kept that lead back best to the
        annotated organ: by evidence alone, a kidney was lost to a stomach.
        """
        labels = most_probable(probabilities)
        if not pieces:
            return labels
        for place, (value, probability) in enumerate(probabilities.items()):
            mask = labels == value
            n_pieces = max(support.n_pieces[place] for support in self.supports)
            found = evident_pieces(mask, probability)
            if len(found) > n_pieces:
                scores = [
                    self._reverse(query, {value: piece}, alignments)[place] for piece in found
                ]
                found = [found[best] for best in np.argsort(scores)[::-1][:n_pieces]]
            labels[mask & ~np.any([*found, np.zeros_like(mask)], axis=0)] = 0
        return labels

    def reverse(
        self, query: Laid, labels: UInt[np.ndarray, "z y x"], alignments: Sequence[Alignment]
    ) -> dict[str, float]:
        """Per organ, the best support's Dice with what the finding leads back to."""
        scores = self._reverse(query, {v: labels == v for v in self.names}, alignments)
        return dict(zip(self.names.values(), scores, strict=True))

    def _reverse(
        self,
        query: Laid,
        found: Mapping[int, Bool[np.ndarray, "z y x"]],
        alignments: Sequence[Alignment],
    ) -> list[float]:
        """The same for any masks by label value; organs without a mask score 0."""
        empty = np.zeros(query.scan.ranks.shape, dtype=np.float32)
        masks = [
            query.grid.slices(found[v].astype(np.float32)) if v in found else empty
            for v in self.names
        ]
        cells = shares(torch.from_numpy(np.stack(masks, axis=1)), STRIDE)
        coarse = query.scan.coarse(self.supports[0].encoder)
        deviations = (ACROSS_MM, IN_PLANE_PX * self.frame.pixel)
        scores = [
            reverse_dice(support.coarse, coarse, cells, alignment, deviations)
            for support, alignment in zip(self.supports, alignments, strict=True)
        ]
        best: list[float] = np.max(scores, axis=0).tolist()
        return best

    def _lay(
        self, scan: Scan, label: Int[np.ndarray, "z y x"], names: Mapping[int, str]
    ) -> tuple[WorkingScan, Float32[np.ndarray, "n k h w"]]:
        working, grid = self.frame.lay(scan)
        masks = [grid.slices((label == value).astype(np.float32)) for value in names]
        return working, np.stack(masks, axis=1)
