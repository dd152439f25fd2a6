"""Resampling from a scan's voxels to the slices that a method works on, and back.

Axes are permuted and flipped to the target orientation, then interpolated one by one. An oblique
scan is not rotated: it is resampled along its own axes, which makes the inverse equally simple.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import torch
from jaxtyping import Bool, Float32, Num, UInt

from gmrd.io.affine import spacing_of
from gmrd.io.orientation import turned
from gmrd.io.scan import Scan
from gmrd.values.kinds import Count, Orientation, Positive

BLOCK = 8 * 1024**2
"""Voxels interpolated at a time."""

THIN = 0.5
"""Slices thinner than this share of the training's spacing are averaged to it."""


@dataclass(frozen=True)
class TrainingGeometry:
    """Geometry of the volumes that a network was trained on.

    Attributes:
        orientation: nibabel's axis codes of (x, y, z), such as ``LAS``.
        spacing: voxel size (z, y, x) in mm.
        slice_shape: rows and columns of a slice.
    """

    orientation: Orientation
    spacing: tuple[Positive, Positive, Positive]
    slice_shape: tuple[Count, Count]

    @classmethod
    def of(cls, scan: Scan) -> TrainingGeometry:
        """The geometry of a scan, which is assumed if a checkpoint records none."""
        return cls(
            "".join(nib.aff2axcodes(scan.affine)),
            scan.spacing,
            (*scan.image.shape[1:],),  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Turn:
    """A permutation and flip of a scan's axes and its inverse, as nibabel's transforms."""

    there: Num[np.ndarray, "3 2"]
    back: Num[np.ndarray, "3 2"]

    @classmethod
    def between(cls, start: Num[np.ndarray, "3 2"], end: Num[np.ndarray, "3 2"]) -> Turn:
        """From one nibabel orientation to another."""
        transform = nib.orientations.ornt_transform
        return cls(transform(start, end), transform(end, start))

    def sizes(self, scan: Scan) -> tuple[tuple[float, float, float], tuple[int, int, int]]:
        """Voxel size in mm and number of voxels, (z, y, x), of the reoriented scan."""
        stored = scan.image.shape[::-1]
        affine = scan.affine @ nib.orientations.inv_ornt_aff(self.there, stored)
        empty = np.empty(stored, dtype=np.bool_)
        z, y, x = nib.orientations.apply_orientation(empty, self.there).shape[::-1]
        return spacing_of(affine), (z, y, x)


def is_sizeless(scan: Scan) -> bool:
    """Whether a scan's voxel size seems lost: cubes of exactly 1 mm, in a third as many slices.

    Conversions through arrays leave an identity matrix. True cubes of 1 mm come from isotropic
    acquisitions, with about as many slices as rows and columns.
    """
    shape = scan.image.shape  # slices are counted along any axis: arrays come in every order
    return scan.spacing == (1.0, 1.0, 1.0) and 3 * min(shape) <= max(shape)


@dataclass(frozen=True)
class Grid:
    """The mapping between a scan's voxels and the slices that cover it.

    Attributes:
        flips: nibabel's orientation transform of the (x, y, z) array, and its inverse.
        to_slices: per reoriented axis (z, y, x), a matrix (slice positions, scan positions).
        to_scan: per reoriented axis (z, y, x), a matrix (scan positions, slice positions).
        spacing: of the slices, (z, y, x) in mm.
    """

    flips: tuple[Num[np.ndarray, "3 2"], Num[np.ndarray, "3 2"]]
    to_slices: tuple[Float32[np.ndarray, "_ _"], ...]
    to_scan: tuple[Float32[np.ndarray, "_ _"], ...]
    spacing: tuple[float, float, float]

    @classmethod
    def between(cls, scan: Scan, training: TrainingGeometry) -> Grid:
        """Slices of the training's geometry over a scan, with a common centre."""
        axes = nib.orientations.axcodes2ornt(training.orientation)
        turn = Turn.between(nib.io_orientation(scan.affine), axes)
        own, _ = turn.sizes(scan)
        thickness = training.spacing[0] if own[0] < THIN * training.spacing[0] else own[0]
        return cls.over(scan, turn, (thickness, *training.spacing[1:]), training.slice_shape)

    @classmethod
    def over(
        cls,
        scan: Scan,
        turn: Turn,
        spacing: tuple[float, float, float],
        slice_shape: tuple[int, int],
    ) -> Grid:
        """Slices of this spacing (z, y, x) and shape over a reoriented scan, centred on it."""
        own, lengths = turn.sizes(scan)
        counts = (max(1, round(lengths[0] * own[0] / spacing[0])), *slice_shape)
        axes = [Axis(*sizes) for sizes in zip(lengths, own, counts, spacing, strict=True)]
        return cls(
            flips=(turn.there, turn.back),
            to_slices=tuple(axis.resampling() for axis in axes),
            to_scan=tuple(axis.reversed().resampling() for axis in axes),
            spacing=spacing,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of slices, and their rows and columns."""
        z, y, x = (len(matrix) for matrix in self.to_slices)
        return z, y, x

    def slices(self, volume: Num[np.ndarray, "zs ys xs"]) -> Float32[np.ndarray, "z y x"]:
        """A scan's values resampled to the slices; outside the scan, its lowest value."""
        lowest = float(np.float32(volume.min()))
        oriented = turned(volume, self.flips[0])
        return np.asarray(_resample(oriented, self.to_slices, lowest) + np.float32(lowest))

    def shares(self, mask: Bool[np.ndarray, "zs ys xs"]) -> Float32[np.ndarray, "z y x"]:
        """The share of a mask in each voxel of the slices."""
        return self.slices(mask.view(np.uint8))  # a float32 copy would be four times as large

    def scan(self, probability: Float32[np.ndarray, "z y x"]) -> Float32[np.ndarray, "zs ys xs"]:
        """Probabilities on the slices resampled to the scan's voxels; 0 outside the slices."""
        return turned(_resample(probability, self.to_scan), self.flips[1])

    def decided(
        self,
        probabilities: Float32[np.ndarray, "k z y x"],
        decide: Callable[[Float32[np.ndarray, "k s y x"]], UInt[np.ndarray, "s y x"]],
    ) -> UInt[np.ndarray, "zs ys xs"]:
        """Labels on the scan's voxels, decided from resampled probabilities a few slices at a time.

        Args:
            probabilities: on the slices.
            decide: maps the probabilities of some slices to labels.
        """
        across, *in_plane = self.to_scan
        n_slices = max(1, BLOCK // math.prod(map(len, in_plane)))
        labels: UInt[np.ndarray, "z y x"] | None = None
        for start in range(0, len(across), n_slices):
            some = slice(start, start + n_slices)
            part = decide(
                np.stack([_resample(p, (across[some], *in_plane)) for p in probabilities])
            )
            if labels is None:
                labels = np.empty((len(across), *part.shape[1:]), dtype=part.dtype)
            labels[some] = part
        assert labels is not None
        return turned(labels, self.flips[1])

    def share_covered(self, body: Num[np.ndarray, "zs ys xs"]) -> float:
        """The share of a non-negative volume that lies on the slices."""
        inside = self.scan(np.ones(self.shape, dtype=np.float32))
        return float((body * (inside > 0.5)).sum() / max(float(body.sum()), 1e-12))


@dataclass(frozen=True)
class Axis:
    """Two sets of equidistant positions with a common centre: a scan's and the slices'."""

    n_from: int
    step_from: float
    n_to: int
    step_to: float

    def reversed(self) -> Axis:
        """The inverse mapping."""
        return Axis(self.n_to, self.step_to, self.n_from, self.step_from)

    def resampling(self) -> Float32[np.ndarray, "to from"]:
        """Linear interpolation as a matrix, with smoothing when downsampling.

        Positions outside the samples get 0. With equal steps, whole samples are cropped or padded,
        so a volume that already has the target geometry is unchanged.
        """
        step = self.step_to / self.step_from
        if abs(step - 1) < 1e-3:
            start = (
                (self.n_from - self.n_to) // 2
                if self.n_from >= self.n_to
                else -((self.n_to - self.n_from) // 2)
            )
            position = start + np.arange(float(self.n_to))
            step = 1.0
        else:
            position = (self.n_from - 1) / 2 + (np.arange(self.n_to) - (self.n_to - 1) / 2) * step
        width = max(1.0, step)
        reach = np.abs(position[:, None] - np.arange(self.n_from)[None]) / width
        weights = np.clip(1 - reach, 0, None)
        total = weights.sum(axis=1, keepdims=True)
        inside = (position > -0.75) & (position < self.n_from - 0.25)
        return np.asarray(
            np.where(inside[:, None], weights / np.maximum(total, 1e-6), 0), dtype=np.float32
        )


def _resample(
    volume: Num[np.ndarray, "z y x"],
    matrices: Sequence[Float32[np.ndarray, "_ _"]],
    lowest: float = 0.0,
) -> Float32[np.ndarray, "zo yo xo"]:
    """The volume minus ``lowest``, interpolated along z, then in plane.

    This is done in blocks, so that beside the volume and the result, memory holds only the volume
    interpolated along z.
    """
    across, *in_plane = matrices
    n_rows = max(1, BLOCK // (volume.shape[0] * volume.shape[2]))
    between = np.empty((len(across), *volume.shape[1:]), dtype=np.float32)
    for start in range(0, volume.shape[1], n_rows):
        some = (slice(None), slice(start, start + n_rows))
        block = volume[some].astype(np.float32) - np.float32(lowest)
        between[some] = _along(block, across, 0)
    if all(_is_identity(matrix) for matrix in in_plane):
        return between
    out = np.empty((len(across), *map(len, in_plane)), dtype=np.float32)
    n_slices = max(1, BLOCK // max(math.prod(out.shape[1:]), math.prod(between.shape[1:])))
    for start in range(0, len(out), n_slices):
        some_slices = slice(start, start + n_slices)
        block = between[some_slices]
        for axis, matrix in enumerate(in_plane, start=1):
            block = _along(block, matrix, axis)
        out[some_slices] = block
    return out


def _along(
    block: Float32[np.ndarray, "z y x"], matrix: Float32[np.ndarray, "_ _"], axis: int
) -> Float32[np.ndarray, "zo yo xo"]:
    if _is_identity(matrix):
        return block
    values = torch.from_numpy(np.ascontiguousarray(block))
    moved = torch.tensordot(torch.from_numpy(matrix), values, dims=([1], [axis]))
    return np.asarray(moved.movedim(0, axis).numpy())


def _is_identity(matrix: Float32[np.ndarray, "_ _"]) -> bool:
    return matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix)))
