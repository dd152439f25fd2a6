"""Affines as in nibabel: voxel (x, y, z) to world millimetres, right-anterior-superior (RAS)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from gmrd.errors import InputError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM and ITK point x and y left and posterior; nibabel, right and anterior."""

FLAT = 1e-6
"""Smallest voxel volume, as a fraction of a box with the same edge lengths."""


def spacing_of(affine: Float[np.ndarray, "4 4"]) -> tuple[float, float, float]:
    """Voxel size (z, y, x) in millimetres: the lengths of the affine's columns."""
    x, y, z = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return z, y, x


def refuse_unplaceable(source: Path | str, affine: Float[np.ndarray, "4 4"]) -> None:
    """Refuse an affine that is not finite or is (nearly) singular.

    Raises:
        InputError: the message names the source.
    """
    edges = np.array(spacing_of(affine)[::-1])
    placed = np.isfinite(affine).all() and edges.min() > 0
    if placed and abs(np.linalg.det(affine[:3, :3] / edges)) > FLAT:
        return
    raise InputError(
        f"{source}: the affine {affine[:3].tolist()} is singular or not finite: fix the header "
        "(NIfTI uses the sform if its code is above 0, otherwise the qform)"
    )


def is_sheared(affine: Float[np.ndarray, "4 4"]) -> bool:
    """Whether the axes are not orthogonal, as in CT with a tilted gantry."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return not np.allclose(directions.T @ directions, np.eye(3), atol=1e-4)
