"""Whether a label map fits its image: same shape, same place."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Float, Num

from gmrd.errors import InputError
from gmrd.io.affine import spacing_of

WRONG_HEADER = ", or set data.check_geometry=false if the header is wrong"
"""What commands on a data set suggest."""


def refuse_other_shape(
    path: Path, array: Num[np.ndarray, "..."], image: Num[np.ndarray, "..."]
) -> None:
    """Raise unless the file has the shape of its image."""
    if array.shape != image.shape:
        raise InputError(
            f"{path} has shape {array.shape[::-1]} (x, y, z) but its image has "
            f"{image.shape[::-1]}: they do not belong together, or only one was resampled"
        )


def refuse_other_place(
    path: Path,
    affine: Float[np.ndarray, "4 4"],
    image_affine: Float[np.ndarray, "4 4"],
    shape: tuple[int, ...],
    *,
    remedy: str = "",
) -> None:
    """Raise if a file's voxels lie more than half a voxel away from its image's.

    An affine that is the identity up to signs carries no position, so it is accepted.
    """
    if np.array_equal(np.abs(affine), np.eye(4)):
        return
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape[::-1]])).reshape(3, -1)
    homogeneous = np.vstack([corners, np.ones(corners.shape[1])])
    offset = np.linalg.norm(((affine - image_affine) @ homogeneous)[:3], axis=0).max()
    if offset > 0.5 * min(spacing_of(image_affine)):
        codes = ["".join(nib.aff2axcodes(a)) for a in (affine, image_affine)]
        raise InputError(
            f"{path} lies up to {offset:.1f} mm away from its image (orientations {codes[0]} and "
            f"{codes[1]}): the label may be mirrored or shifted. Look at both with gmrd-inspect, "
            f"resample one onto the other{remedy}"
        )
