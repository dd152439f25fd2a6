"""A scan: its voxels, where they lie in the patient, and how to write something back there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float, Float32, Num

from gmrd.data.volume import spacing_of
from gmrd.io.atomic import replacing


@dataclass(frozen=True)
class Scan:
    """A volume as it was read, in its own geometry and intensities.

    Attributes:
        name: what to call it in files and tables: the file's name without its endings.
        image: intensities as stored, (z, y, x), the transpose of nibabel's array.
        affine: voxel (x, y, z) to world millimetres, right-anterior-superior, as nibabel's.
        header: the NIfTI header it came with; None for other formats.
        stored_shape: the file's shape if it differs from (x, y, z), such as (x, y, z, 1).
        source: the file or folder.
        slices: the headers of a DICOM series (pydicom), in the order of z; None for a file.
    """

    name: str
    image: Float32[np.ndarray, "z y x"]
    affine: Float[np.ndarray, "4 4"]
    header: Any = None
    stored_shape: tuple[int, ...] | None = None
    source: str = ""
    slices: tuple[Any, ...] | None = field(default=None, repr=False)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size (z, y, x) in millimetres."""
        return spacing_of(self.affine)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def save(self, path: Path, array: Num[np.ndarray, "z y x"]) -> Path:
        """Write an array of this scan's shape as NIfTI, placed exactly as the scan is.

        A scan read from NIfTI passes on its affine, its qform and sform codes, its units and
        its stored shape; other formats get their affine as both qform and sform, code 1.
        """
        stored = np.ascontiguousarray(array.transpose(2, 1, 0))
        image = self._container(stored.reshape(self.stored_shape or stored.shape))
        with replacing(path) as temporary:
            nib.save(image, temporary)
        return path

    def _container(self, stored: Num[np.ndarray, "..."]) -> Any:
        if self.header is None:
            image = nib.Nifti1Image(stored, self.affine)
            image.set_qform(self.affine, code=1)
            image.set_sform(self.affine, code=1)
            return image
        header = self.header.copy()
        header.set_data_dtype(stored.dtype)
        header["cal_min"] = header["cal_max"] = 0
        # Extensions may hold a DICOM header, and with it the patient's name.
        header.extensions.clear()
        container = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
        # nibabel leaves qform and sform alone when they already say what the affine says.
        return container(stored, None, header)
