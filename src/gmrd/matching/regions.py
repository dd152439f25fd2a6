"""Probabilities averaged within supervoxels of the image.

Often only a thin dark line separates an organ from a neighbour of the same brightness. Cells of
several millimetres straddle such a line; supervoxels end at it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Int

from gmrd.matching.ranks import WIDEST, normal_scores
from gmrd.supervoxels.felzenszwalb import felzenszwalb

SHARES = (0.01, 0.03, 0.1, 0.3)
"""Smallest supervoxel of each level, as a share of the smallest annotated organ."""
ACTIVE = 0.02
"""Supervoxels are computed only where some organ is more probable than this."""
MARGIN_PX = 8
SMOOTHING_PX = 0.8

Box = tuple[slice, slice, slice]


class Regions:
    """Supervoxels of several sizes, where organs are likely.

    Args:
        ranks: intensity ranks.
        active: where an organ is likely.
        spacing: (z, y, x) in mm.
        organ_ml: volume of the smallest annotated organ.
    """

    def __init__(
        self,
        ranks: Float32[np.ndarray, "z y x"],
        active: Bool[np.ndarray, "z y x"],
        spacing: tuple[float, float, float],
        organ_ml: float,
    ) -> None:
        self.box = _box(active)
        # Scaled to a range of 1, as the supervoxels' ``scale`` parameter expects.
        image = normal_scores(ranks[self.box]) / (2 * WIDEST)
        organ = organ_ml * 1000 / float(np.prod(spacing))
        sizes = sorted({max(1, min(image.size, round(share * organ))) for share in SHARES})
        self.levels: Sequence[Int[np.ndarray, "z y x"]] = [
            felzenszwalb(image, spacing=spacing, sigma=SMOOTHING_PX, min_size=size)
            for size in (sizes if image.size else ())
        ]

    def vote(
        self, probability: Float32[np.ndarray, "z k y x"], weight: float
    ) -> Float32[np.ndarray, "z k y x"]:
        """Each voxel's probabilities averaged with the means over its regions, in place.

        Organ by organ, because those of a long scan are large.

        Args:
            probability: of every organ; overwritten and returned.
            weight: of the mean over a voxel's regions, against the voxel's own probability.
        """
        if not self.levels:
            return probability
        for organ in probability.transpose(1, 0, 2, 3):
            inside = organ[self.box]
            voted = np.zeros_like(inside)
            for level in self.levels:
                voted += _means(inside, level)
            voted /= len(self.levels)
            inside[:] = (1 - weight) * inside + weight * voted
        return probability


def _means(
    probability: Float32[np.ndarray, "z y x"], regions: Int[np.ndarray, "z y x"]
) -> Float32[np.ndarray, "z y x"]:
    flat = regions.ravel()
    means = np.bincount(flat, weights=probability.ravel()) / np.bincount(flat)
    return np.asarray(means.astype(np.float32)[regions])


def _box(active: Bool[np.ndarray, "z y x"]) -> Box:
    """Bounding box of the active voxels with a margin; empty if there are none."""
    parts = []
    for axis, margin in enumerate((1, MARGIN_PX, MARGIN_PX)):
        others = tuple(other for other in range(3) if other != axis)
        held = np.flatnonzero(active.any(axis=others))
        start, stop = (max(0, held[0] - margin), held[-1] + margin + 1) if len(held) else (0, 0)
        parts.append(slice(int(start), int(stop)))
    return parts[0], parts[1], parts[2]
