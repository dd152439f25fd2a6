"""Reading through SimpleITK: NRRD, MetaImage and the slices of a DICOM series."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from gmrd.errors import InputError
from gmrd.io.scan import Scan


def required(module: str, source: str | Path) -> Any:
    """An optional library, or a sentence that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{source}: this format needs {module}: pip install 'gmrd[dicom]'"
        ) from error


IO = {"nrrd": "NrrdImageIO", "metaimage": "MetaImageIO"}


def read_itk(path: Path, kind: str) -> Scan:
    """Read a NRRD or MetaImage file whose header was checked."""
    sitk = required("SimpleITK", path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(IO[kind])  # by content: the file's ending is not believed
    reader.SetFileName(str(path))
    image, affine = _volume(reader, path)
    return Scan(path.name.rsplit(".", 1)[0], image, affine, source=str(path))


def read_itk_series(
    files: list[Path], source: str
) -> tuple[Float32[np.ndarray, "z y x"], Float[np.ndarray, "4 4"]]:
    """Read slices that were put in order."""
    sitk = required("SimpleITK", source)
    if len(files) == 1:
        raise InputError(f"{source} holds a single slice: a volume has several")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(file) for file in files])
    return _volume(reader, source)


def _volume(
    reader: Any, source: str | Path
) -> tuple[Float32[np.ndarray, "z y x"], Float[np.ndarray, "4 4"]]:
    sitk = required("SimpleITK", source)
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
    array = sitk.GetArrayFromImage(image).astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"{source} holds voxels that are NaN or infinite: repair the file")
    matrix = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, image.GetOrigin()
    # ITK's world axes run left and posterior, nibabel's right and anterior.
    return array, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
