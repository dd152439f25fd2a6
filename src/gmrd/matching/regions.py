"""Regions of the image decide together: probabilities averaged within supervoxels.

An organ's neighbour of the same brightness is often parted from it by a thin dark line. Cells of
several millimetres straddle such a line; supervoxels end at it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Int

from gmrd.matching.scores import WIDEST, normal_scores
from gmrd.supervoxels.felzenszwalb import felzenszwalb

SHARES = (0.01, 0.03, 0.1, 0.3)
"""Least sizes of the supervoxels of each level, as shares of the smallest annotated organ."""
WEIGHT = 0.5
"""Of what a voxel's regions say, on average over the levels, against what it says itself."""
ACTIVE = 0.02
"""A place where no organ is more probable than this needs no regions."""
MARGIN_PX = 8
SMOOTHING_PX = 0.8

Box = tuple[slice, slice, slice]


class Regions:
    """Supervoxels of several sizes where organs may be.

    Args:
        ranks: intensities by rank.
        active: where any organ is probable.
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
        # On a range of 1, which the unit of the supervoxels' scale expects.
        image = normal_scores(ranks[self.box]) / (2 * WIDEST)
        organ = organ_ml * 1000 / float(np.prod(spacing))
        sizes = sorted({max(1, min(image.size, round(share * organ))) for share in SHARES})
        self.levels: Sequence[Int[np.ndarray, "z y x"]] = [
            felzenszwalb(image, spacing=spacing, sigma=SMOOTHING_PX, min_size=size)
            for size in (sizes if image.size else ())
        ]

    def vote(self, probability: Float32[np.ndarray, "z k y x"]) -> Float32[np.ndarray, "z k y x"]:
        """Every voxel's probabilities, half its own and half the means of its regions."""
        if not self.levels:
            return probability
        rows = (self.box[0], slice(None), *self.box[1:])
        inside = probability[rows]
        voted = np.mean([_means(inside, level) for level in self.levels], axis=0)
        out = probability.copy()
        out[rows] = (1 - WEIGHT) * inside + WEIGHT * voted
        return out


def _means(
    probability: Float32[np.ndarray, "z k y x"], regions: Int[np.ndarray, "z y x"]
) -> Float32[np.ndarray, "z k y x"]:
    flat = regions.ravel()
    sizes = np.bincount(flat)
    means = [
        (np.bincount(flat, weights=organ.ravel()) / sizes)[regions]
        for organ in probability.transpose(1, 0, 2, 3)
    ]
    return np.stack(means, axis=1).astype(np.float32)


def _box(active: Bool[np.ndarray, "z y x"]) -> Box:
    """What holds all active voxels, with a margin; empty where there are none."""
    parts = []
    for axis, margin in enumerate((1, MARGIN_PX, MARGIN_PX)):
        others = tuple(other for other in range(3) if other != axis)
        held = np.flatnonzero(active.any(axis=others))
        start, stop = (max(0, held[0] - margin), held[-1] + margin + 1) if len(held) else (0, 0)
        parts.append(slice(int(start), int(stop)))
    return parts[0], parts[1], parts[2]
