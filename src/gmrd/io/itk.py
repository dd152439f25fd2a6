"""Reading through SimpleITK: NRRD, MetaImage and the slices of a DICOM series."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from gmrd.errors import InputError
from gmrd.io.affine import LPS_TO_RAS, refuse_unplaceable
from gmrd.io.scan import Scan
from gmrd.io.text_header import TextFormat, check_text_header
from gmrd.io.voxels import VoxelType, as_voxels


def required(module: str, source: str | Path) -> Any:
    """An optional library, or a sentence that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{source}: this format needs {module}: pip install 'gmrd[dicom]'"
        ) from error


IO = {"nrrd": "NrrdImageIO", "metaimage": "MetaImageIO"}


def read_itk(path: Path, kind: TextFormat, dtype: VoxelType) -> Scan:
    """Read a NRRD or MetaImage file.

    Raises:
        InputError: the file is damaged or hostile, not one 3-D volume, or lies nowhere.
    """
    check_text_header(path, kind)
    sitk = required("SimpleITK", path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(IO[kind])  # by content: the file's ending is not believed
    reader.SetFileName(str(path))
    image = _read(reader, path)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    affine = LPS_TO_RAS @ affine
    refuse_unplaceable(path, affine)
    voxels = as_voxels(path, sitk.GetArrayFromImage(image), dtype)
    return Scan(path.name.rsplit(".", 1)[0], voxels, affine, source=str(path))


def read_slices(files: list[Path], source: str, dtype: VoxelType) -> Num[np.ndarray, "z y x"]:
    """Voxels of DICOM slices that were put in order, in the modality's units."""
    sitk = required("SimpleITK", source)
    reader = sitk.ImageSeriesReader()
    # Without it the first slice's type decides, and the fractions of others are cut off.
    reader.SetOutputPixelType(sitk.sitkFloat64 if dtype is np.float64 else sitk.sitkFloat32)
    reader.SetFileNames([str(file) for file in files])
    return as_voxels(source, sitk.GetArrayFromImage(_read(reader, source)), dtype)


def _read(reader: Any, source: str | Path) -> Any:
    try:
        image = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{source} cannot be read as an image: {reason}") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            f"{source} has {image.GetDimension()} dimensions and "
            f"{image.GetNumberOfComponentsPerPixel()} values a voxel: expected 3 and 1"
        )
    return image
