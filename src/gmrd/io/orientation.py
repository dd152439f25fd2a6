"""Reorienting a volume's array: axes permuted and flipped, values unchanged."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from jaxtyping import Float, Num, Shaped

from gmrd.io.affine import spacing_of

UPRIGHT = "LPS"
"""Orientation of pictures: slices seen from below, anterior at the top."""


def reorient(
    volume: Shaped[np.ndarray, "z y x"], affine: Float[np.ndarray, "4 4"], orientation: str
) -> Shaped[np.ndarray, "zo yo xo"]:
    """The array in the orientation of nibabel's axis codes of (x, y, z), such as ``LPS``.

    Args:
        volume: the array.
        affine: nibabel's, of the (x, y, z) array.
        orientation: the target codes.
    """
    return turned(volume, _turn(affine, orientation))


def restore(
    volume: Shaped[np.ndarray, "zo yo xo"], affine: Float[np.ndarray, "4 4"], orientation: str
) -> Shaped[np.ndarray, "z y x"]:
    """Undo :func:`reorient`: the array back in the orientation of ``affine``."""
    start = nib.orientations.axcodes2ornt(orientation)
    back = nib.orientations.ornt_transform(start, nib.io_orientation(affine))
    return turned(volume, np.asarray(back))


def reoriented_spacing(
    affine: Float[np.ndarray, "4 4"], orientation: str
) -> tuple[float, float, float]:
    """Voxel size (z, y, x) in mm of the reoriented array."""
    turn = _turn(affine, orientation)
    return spacing_of(affine @ nib.orientations.inv_ornt_aff(turn, (1, 1, 1)))


def turned(
    volume: Shaped[np.ndarray, "z y x"], turn: Num[np.ndarray, "3 2"]
) -> Shaped[np.ndarray, "zo yo xo"]:
    """Apply one of nibabel's orientation transforms, which are for (x, y, z) arrays."""
    moved = nib.orientations.apply_orientation(volume.transpose(2, 1, 0), turn)
    return np.asarray(moved).transpose(2, 1, 0)


def _turn(affine: Float[np.ndarray, "4 4"], orientation: str) -> Num[np.ndarray, "3 2"]:
    end = nib.orientations.axcodes2ornt(orientation)
    return np.asarray(nib.orientations.ornt_transform(nib.io_orientation(affine), end))
