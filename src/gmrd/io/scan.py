"""A scan: its voxels, its place in the patient, and writing arrays back in its geometry."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from gmrd.io.affine import spacing_of
from gmrd.io.nifti_writer import write_nifti


def voxel_size(affine: Float[np.ndarray, "4 4"], header: Any = None) -> tuple[float, float, float]:
    """Voxel size (z, y, x) in millimetres of a volume with this affine and NIfTI header.

    The affine decides. Where the header's pixdim agrees with it, pixdim's numbers are used: the
    column lengths of an oblique affine differ from them in the eighth digit, which is enough to
    change the order of nearly equal edges between voxels.
    """
    own = spacing_of(affine)
    if header is None:
        return own
    x, y, z = (float(size) for size in header.get_zooms()[:3])
    return (z, y, x) if np.allclose((z, y, x), own, rtol=1e-5, atol=0) else own


@dataclass(frozen=True)
class Geometry:
    """Where a volume's voxels lie, without their values.

    Attributes:
        affine: voxel (x, y, z) to world millimetres, right-anterior-superior.
        spacing: voxel size (z, y, x) in millimetres.
        shape: voxels along (z, y, x).
    """

    affine: Float[np.ndarray, "4 4"]
    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Scan:
    """A volume in its own geometry and intensities.

    Attributes:
        name: for files and tables: the file name without extensions.
        image: intensities (float32 by default) or labels (int32), (z, y, x): the transpose of
            nibabel's array.
        affine: voxel (x, y, z) to world millimetres, right-anterior-superior, as nibabel's.
        header: the NIfTI header; None for other formats.
        stored_shape: the file's shape if it differs from (x, y, z), such as (x, y, z, 1).
        source: the file or folder.
        slices: pydicom headers of a DICOM series, in z order; None for a file.
    """

    name: str
    image: Num[np.ndarray, "z y x"]
    affine: Float[np.ndarray, "4 4"]
    header: Any = None
    stored_shape: tuple[int, ...] | None = None
    source: str = ""
    slices: tuple[Any, ...] | None = field(default=None, repr=False)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size (z, y, x) in millimetres."""
        return voxel_size(self.affine, self.header)

    @property
    def geometry(self) -> Geometry:
        """Where the voxels lie."""
        z, y, x = self.image.shape
        return Geometry(self.affine, self.spacing, (z, y, x))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def save(self, path: Path, array: Num[np.ndarray, "z y x"], *, description: str = "") -> Path:
        """Write an array of this scan's shape as NIfTI, in exactly this scan's geometry.

        From NIfTI, the affine, the qform and sform codes, the units and the stored shape are
        kept; for other formats the affine becomes both qform and sform, with code 1.
        """
        return write_nifti(
            path,
            array,
            self.affine,
            header=self.header,
            stored_shape=self.stored_shape,
            description=description,
        )
