"""The frame that scans are matched in: the first support's axes, and a pixel size that fits it."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from jaxtyping import Float

from gmrd.data.ranks import body_mask, ranks
from gmrd.io.scan import Scan
from gmrd.matching.scan import WorkingScan
from gmrd.predict.geometry import Grid, Turn

SIDE_PX = 256
"""Pixels along the longer side of what is looked at."""
LARGEST = 2.0
"""Times that a scan's own pixels are enlarged at most: more shows nothing new."""
AIR = 1.4
"""A field wider than this many times the body is looked at no wider than that."""
SIDE_MULTIPLE = 32
LEAST_THICKNESS_MM = 3.0
"""Thinner slices are averaged to about :data:`THICKNESS_MM`: organs are matched in millimetres."""
THICKNESS_MM = 4.0
UNTURNED = np.array([[0, 1], [1, 1], [2, 1]])


@dataclass(frozen=True)
class Frame:
    """Axes and pixel size that a support sets for itself and every query.

    Attributes:
        reference: the support's affine; only its directions count.
        pixel: side of a pixel in mm.
    """

    reference: Float[np.ndarray, "4 4"]
    pixel: float

    @classmethod
    def of(cls, support: Scan) -> Frame:
        """The frame of a support.

        The pixel is a 256th of the longer side of a slice, or of 1.4 times the body's where
        the field is wider; at least half of the scan's own.
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

    def lay(self, scan: Scan) -> tuple[WorkingScan, Grid]:
        """A scan on working slices, and the way between them and its voxels.

        Axes are permuted and flipped to lie along the support's as closely as they can: by the
        angles between the two scans, so that near 45° to the patient's axes a few degrees of
        difference permute nothing.
        """
        grid = self.grid(scan)
        image = grid.slices(scan.image)
        body = body_mask(image)
        return WorkingScan(ranks(image, body), body, grid.spacing), grid

    def grid(self, scan: Scan) -> Grid:
        """The way between a scan's voxels and its working slices."""
        relative = np.eye(4)
        relative[:3, :3] = np.linalg.solve(_directions(self.reference), scan.affine[:3, :3])
        turn = Turn.between(nib.io_orientation(relative), UNTURNED)
        (z, y, x), (_, rows, columns) = turn.sizes(scan)
        thickness = z if z >= LEAST_THICKNESS_MM else z * max(1, round(THICKNESS_MM / z))
        shape = (self._side(rows * y), self._side(columns * x))
        return Grid.over(scan, turn, (thickness, self.pixel, self.pixel), shape)

    def _side(self, length: float) -> int:
        return SIDE_MULTIPLE * max(1, int(np.ceil(length / self.pixel / SIDE_MULTIPLE - 1e-3)))


def _directions(affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "3 3"]:
    columns = affine[:3, :3]
    return np.asarray(columns / np.linalg.norm(columns, axis=0))
