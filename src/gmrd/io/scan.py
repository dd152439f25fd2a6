"""A scan: its voxels, where they lie in the patient, and how to write something back there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from gmrd.io.affine import spacing_of
from gmrd.io.nifti_writer import write_nifti


@dataclass(frozen=True)
class Scan:
    """A volume as it was read, in its own geometry and intensities.

    Attributes:
        name: what to call it in files and tables: the file's name without its endings.
        image: intensities as stored, float32 unless asked for otherwise, or labels, int32;
            (z, y, x), the transpose of nibabel's array.
        affine: voxel (x, y, z) to world millimetres, right-anterior-superior, as nibabel's.
        header: the NIfTI header it came with; None for other formats.
        stored_shape: the file's shape if it differs from (x, y, z), such as (x, y, z, 1).
        source: the file or folder.
        slices: the headers of a DICOM series (pydicom), in the order of z; None for a file.
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
        """Voxel size (z, y, x) in millimetres.

        The affine decides. Where a NIfTI header's pixdim says the same, its numbers are taken:
        the columns of an oblique affine give them back with an error in the eighth digit, which
        is enough to turn the order of nearly equal edges between voxels.
        """
        own = spacing_of(self.affine)
        if self.header is None:
            return own
        x, y, z = (float(size) for size in self.header.get_zooms()[:3])
        return (z, y, x) if np.allclose((z, y, x), own, rtol=1e-5, atol=0) else own

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def save(self, path: Path, array: Num[np.ndarray, "z y x"], *, description: str = "") -> Path:
        """Write an array of this scan's shape as NIfTI, placed exactly as the scan is.

        A scan read from NIfTI passes on its affine, its qform and sform codes, its units and
        its stored shape; other formats get their affine as both qform and sform, code 1.
        """
        return write_nifti(
            path,
            array,
            self.affine,
            header=self.header,
            stored_shape=self.stored_shape,
            description=description,
        )
