"""The pixels of DICOM slices, read by SimpleITK, which decodes the compressed syntaxes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from gmrd.errors import InputError
from gmrd.io.voxels import VoxelType, as_voxels


def required(module: str, source: str | Path) -> Any:
    """An optional library, or an error that says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{source}: this format needs {module}: pip install 'gmrd[dicom]'"
        ) from error


def read_slices(files: list[Path], source: str, dtype: VoxelType) -> Num[np.ndarray, "z y x"]:
    """Voxels of sorted DICOM slices, in the modality's units."""
    sitk = required("SimpleITK", source)
    reader = sitk.ImageSeriesReader()
    # Otherwise the first slice's type applies to all, which truncates the others' fractions.
    reader.SetOutputPixelType(sitk.sitkFloat64 if dtype is np.float64 else sitk.sitkFloat32)
    reader.SetFileNames([str(file) for file in files])
    return as_voxels(source, sitk.GetArrayFromImage(_read(reader, source)), dtype)


def _read(reader: Any, source: str | Path) -> Any:
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{source} cannot be read as an image: {_reason(error)}") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            f"{source} has {image.GetDimension()} dimensions and "
            f"{image.GetNumberOfComponentsPerPixel()} values per voxel: expected 3 and 1"
        )
    return image


def _reason(error: RuntimeError) -> str:
    """The last line that says something: ITK adds the system's last error, often "Success"."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Reason: Success")]
    return telling[-1] if telling else "SimpleITK does not say why"
