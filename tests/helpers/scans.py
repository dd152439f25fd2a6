"""Small scans with a bright ball."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from gmrd.io.readers import read_scan
from gmrd.io.scan import Scan

Pair = tuple[Path, Path]
"""Files of a scan and its label map."""


def ball(seed: int, shape: tuple[int, int, int] = (12, 40, 44)) -> tuple[np.ndarray, np.ndarray]:
    """Image and label (z, y, x) of a bright ball in a textured body."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    label = (z / 0.6) ** 2 + ((y - 0.2) / 0.3) ** 2 + ((x + 0.3) / 0.25) ** 2 < 1
    body = (y**2 + x**2 < 0.8).astype(np.float32)
    image = 100 * body + 150 * label + 40 * body * x + 10 * rng.standard_normal(shape)
    return image.astype(np.float32), label.astype(np.uint8)


def affine(spacing: tuple[float, float, float] = (5.0, 2.0, 2.0)) -> np.ndarray:
    """LAS, with an origin; spacing is (z, y, x)."""
    matrix = np.diag([-spacing[2], spacing[1], spacing[0], 1.0])
    matrix[:3, 3] = (40.0, -35.0, 12.5)
    return matrix


def reoriented(scan: Scan, orientation: str) -> Scan:
    """The scan with its array in another orientation; the patient does not move."""
    file = nib.Nifti1Image(scan.image.transpose(2, 1, 0), scan.affine)
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(scan.affine), nib.orientations.axcodes2ornt(orientation)
    )
    turned = file.as_reoriented(turn)
    array = np.ascontiguousarray(np.asarray(turned.dataobj).transpose(2, 1, 0))
    return Scan(scan.name, array, np.asarray(turned.affine))


def write(path: Path, array: np.ndarray, matrix: np.ndarray) -> Path:
    image = nib.Nifti1Image(array.transpose(2, 1, 0), matrix)
    image.set_qform(matrix, code=1)
    image.set_sform(matrix, code=1)
    nib.save(image, path)
    return path


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A file's array (z, y, x), as float64, and its affine."""
    scan = read_scan(path, dtype=np.float64)
    return scan.image, scan.affine
