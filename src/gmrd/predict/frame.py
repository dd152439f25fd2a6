"""The frame in which scans are matched: the first support's axes, and a suitable pixel size."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from jaxtyping import Float

from gmrd.io.scan import Scan
from gmrd.matching.ranks import body_mask, ranks
from gmrd.matching.scan import WorkingScan
from gmrd.predict.geometry import Grid, Turn

SIDE_PX = 256
"""Pixels along the longer side of the matched field of view."""
LARGEST = 2.0
"""Largest upsampling factor of a scan's own pixels; more adds no information."""
AIR = 1.4
"""The matched field of view is at most this many times as wide as the body."""
SIDE_MULTIPLE = 32
THICKNESS_MM = 4.0
"""Thinner slices are averaged to about this, since matching works in mm."""
LEAST_SLICES = 32
"""Slices of short volumes, such as one of a hippocampus, are averaged to about this many."""
UNTURNED = np.array([[0, 1], [1, 1], [2, 1]])


@dataclass(frozen=True)
class Frame:
    """Axes and pixel size, set by a support for itself and every query.

    Attributes:
        reference: the support's affine; only its directions are used.
        pixel: pixel size in mm.
    """

    reference: Float[np.ndarray, "4 4"]
    pixel: float

    @classmethod
    def of(cls, support: Scan) -> Frame:
        """The frame of a support.

        The pixel size is 1/256 of a slice's longer side, or of 1.4 times the body's if that is
        shorter, but at least half of the scan's own pixel size.
        """
        _, *spacing = support.spacing
        field = max(n * mm for n, mm in zip(support.image.shape[1:], spacing, strict=True))
        step = max(1, round(field / spacing[0] / SIDE_PX))
        rows, columns = np.nonzero(np.any(body_mask(support.image[:, ::step, ::step]), axis=0))
        sides = [
            np.ptp(held) * step * mm for held, mm in zip((rows, columns), spacing, strict=True)
        ]
        pixel = min(field, AIR * float(max(sides))) / SIDE_PX
        return cls(support.affine, max(pixel, min(spacing) / LARGEST))

    def resample(self, scan: Scan) -> tuple[WorkingScan, Grid]:
        """A scan resampled to working slices, and the grid that maps between the two.

        Axes are permuted and flipped to those closest to the support's. This is decided by the
        angles between the two scans and not by the patient's axes, so that for scans at about 45°
        to those, a few degrees of difference do not permute axes.
        """
        grid = self.grid(scan)
        image = grid.slices(scan.image)
        body = body_mask(image)
        return WorkingScan(ranks(image, body), body, grid.spacing), grid

    def grid(self, scan: Scan) -> Grid:
        """The mapping between a scan's voxels and its working slices."""
        relative = np.eye(4)
        relative[:3, :3] = np.linalg.solve(_directions(self.reference), scan.affine[:3, :3])
        turn = Turn.between(nib.io_orientation(relative), UNTURNED)
        (z, y, x), (n_slices, rows, columns) = turn.sizes(scan)
        thickness = z * max(1, round(min(THICKNESS_MM / z, n_slices / LEAST_SLICES)))
        shape = (self._side(rows * y), self._side(columns * x))
        return Grid.over(scan, turn, (thickness, self.pixel, self.pixel), shape)

    def _side(self, length: float) -> int:
        return SIDE_MULTIPLE * max(1, int(np.ceil(length / self.pixel / SIDE_MULTIPLE - 1e-3)))


def _directions(affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "3 3"]:
    columns = affine[:3, :3]
    return np.asarray(columns / np.linalg.norm(columns, axis=0))
