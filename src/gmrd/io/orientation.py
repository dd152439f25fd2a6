"""A volume's array seen in another orientation: axes permuted and flipped, no value changed."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from jaxtyping import Float, Num, Shaped

from gmrd.io.affine import spacing_of

UPRIGHT = "LPS"
"""How pictures show a scan: slices from below, the patient's front on top."""


def reorient(
    volume: Shaped[np.ndarray, "z y x"], affine: Float[np.ndarray, "4 4"], orientation: str
) -> Shaped[np.ndarray, "zo yo xo"]:
    """The array in the orientation of nibabel's axis codes of (x, y, z), such as ``LPS``.

    Args:
        volume: the array.
        affine: nibabel's, of the (x, y, z) array.
        orientation: the codes wanted.
    """
    return turned(volume, _turn(affine, orientation))


def restore(
    volume: Shaped[np.ndarray, "zo yo xo"], affine: Float[np.ndarray, "4 4"], orientation: str
) -> Shaped[np.ndarray, "z y x"]:
    """Undo :func:`reorient`: the array on the voxels of the volume that the affine is of."""
    start = nib.orientations.axcodes2ornt(orientation)
    back = nib.orientations.ornt_transform(start, nib.io_orientation(affine))
    return turned(volume, np.asarray(back))


def reoriented_spacing(
    affine: Float[np.ndarray, "4 4"], orientation: str
) -> tuple[float, float, float]:
    """Voxel size (z, y, x) in mm once the array is reoriented."""
    turn = _turn(affine, orientation)
    return spacing_of(affine @ nib.orientations.inv_ornt_aff(turn, (1, 1, 1)))


def turned(
    volume: Shaped[np.ndarray, "z y x"], turn: Num[np.ndarray, "3 2"]
) -> Shaped[np.ndarray, "zo yo xo"]:
    """The array under one of nibabel's orientation transforms of the (x, y, z) array."""
    moved = nib.orientations.apply_orientation(volume.transpose(2, 1, 0), turn)
    return np.asarray(moved).transpose(2, 1, 0)


def _turn(affine: Float[np.ndarray, "4 4"], orientation: str) -> Num[np.ndarray, "3 2"]:
    end = nib.orientations.axcodes2ornt(orientation)
    return np.asarray(nib.orientations.ornt_transform(nib.io_orientation(affine), end))
