"""Affines: voxel (x, y, z) to world millimetres, right-anterior-superior, as nibabel's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from gmrd.errors import InputError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's and ITK's x and y grow to the left and back, nibabel's to the right and front."""

FLAT = 1e-6
"""Smallest volume of a voxel as a share of the box that its edges would span at right angles."""


def spacing_of(affine: Float[np.ndarray, "4 4"]) -> tuple[float, float, float]:
    """Voxel size (z, y, x) in millimetres: the lengths of the affine's columns."""
    x, y, z = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return z, y, x


def refuse_unplaceable(source: Path | str, affine: Float[np.ndarray, "4 4"]) -> None:
    """Refuse an affine that is not finite or that flattens the volume.

    Raises:
        InputError: the message names the source.
    """
    edges = np.array(spacing_of(affine)[::-1])
    placed = np.isfinite(affine).all() and edges.min() > 0
    if placed and abs(np.linalg.det(affine[:3, :3] / edges)) > FLAT:
        return
    raise InputError(
        f"{source}: the affine {affine[:3].tolist()} places no volume in space: repair the header "
        "(in a NIfTI file the sform counts where its code is above 0, then the qform)"
    )


def is_sheared(affine: Float[np.ndarray, "4 4"]) -> bool:
    """Whether the axes are not at right angles, as those of slices under a tilted gantry."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return not np.allclose(directions.T @ directions, np.eye(3), atol=1e-4)
