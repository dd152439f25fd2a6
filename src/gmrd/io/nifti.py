"""Reading NIfTI with nibabel, slab by slab, so that memory holds the volume only once."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float, Num

from gmrd.errors import InputError
from gmrd.io.affine import refuse_unplaceable, spacing_of
from gmrd.io.formats import GZIP, check_size, stem
from gmrd.io.nifti_header import MAX_TRAILING, NiftiHeader, check_nifti
from gmrd.io.scan import Geometry, Scan, voxel_size
from gmrd.io.voxels import VoxelType, as_voxels

SLAB_BYTES = 32 * 1024**2
"""Stored bytes that are converted at a time."""

MM_PER_UNIT = {"unknown": 1.0, "meter": 1000.0, "mm": 1.0, "micron": 0.001}

MAX_CONVERTED_MM = 100.0
"""Larger voxels, after conversion from another unit, mean that the unit is wrong."""


def read_nifti(path: Path, dtype: VoxelType) -> Scan:
    """Read a NIfTI file.

    The affine is nibabel's: the sform if its code is above 0, else the qform, else pixdim;
    converted to millimetres from the header's unit.

    Raises:
        InputError: the file is damaged or hostile, not one 3-D volume, or its affine is refused.
    """
    header = check_nifti(path)
    with _image(path, header) as (file, image):
        affine = _affine(path, image)
        voxels = _voxels(path, image, dtype)
        _check_rest(path, file, header.end)
    shape = tuple(image.shape)
    return Scan(
        name=stem(path),
        image=voxels,
        affine=affine,
        header=image.header,
        stored_shape=shape if len(shape) != 3 else None,
        source=str(path),
    )


def nifti_geometry(path: Path) -> Geometry:
    """The geometry that a NIfTI file's header states; no voxel is read.

    Raises:
        InputError: the header is damaged or hostile, not of one 3-D volume, or its affine is
            refused.
    """
    with _image(path, check_nifti(path)) as (_, image):
        _check_dimensions(path, image.shape)
        affine = _affine(path, image)
    columns, rows, depth = image.shape[:3]
    return Geometry(affine, voxel_size(affine, image.header), (depth, rows, columns))


def scan_of_image(image: Any, dtype: VoxelType) -> Scan:
    """A nibabel image as a scan; a NIfTI header is kept.

    Raises:
        InputError: it is not a 3-D volume, or its affine or a voxel is refused.
    """
    source = Path(image.get_filename() or "an image of nibabel")
    check_size(source, image.shape)
    shape, header = tuple(image.shape), image.header
    return Scan(
        name=stem(source) if image.get_filename() else "scan",
        image=_voxels(source, image, dtype),
        affine=_affine(source, image),
        header=header if isinstance(header, nib.Nifti1Header) else None,
        stored_shape=shape if len(shape) != 3 else None,
        source=str(source),
    )


@contextmanager
def _image(path: Path, header: NiftiHeader) -> Iterator[tuple[gzip.GzipFile | BufferedReader, Any]]:
    """The open file and its nibabel image; any error names the file."""
    container: Any = nib.Nifti2Image if header.is_second else nib.Nifti1Image
    try:
        with _opened(path) as file:
            yield file, container.from_stream(file)
    except InputError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path} is damaged: it cannot be decompressed ({error}). Download or copy it again"
        ) from error
    except Exception as error:  # nibabel raises many types on damaged files
        raise InputError(
            f"{path} cannot be read as an image: {error}. Download or copy it again"
        ) from error


def _opened(path: Path) -> gzip.GzipFile | BufferedReader:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return gzip.GzipFile(path) if packed else path.open("rb")


def _affine(path: Path, image: Any) -> Float[np.ndarray, "4 4"]:
    affine = np.array(image.affine, dtype=np.float64)
    known = isinstance(image.header, nib.Nifti1Header)  # also the class of NIfTI-2 headers
    unit = image.header.get_xyzt_units()[0] if known else "mm"
    affine[:3] *= MM_PER_UNIT[unit]
    refuse_unplaceable(path, affine)
    if MM_PER_UNIT[unit] != 1 and max(spacing_of(affine)) > MAX_CONVERTED_MM:
        raise InputError(
            f"{path}: voxels of {spacing_of(image.affine)[::-1]} {unit} are implausible: set the "
            "unit in the header to mm"
        )
    return affine


def _voxels(path: Path, image: Any, dtype: VoxelType) -> Num[np.ndarray, "z y x"]:
    shape = image.shape
    _check_dimensions(path, shape)
    columns, rows, depth = shape[:3]
    voxels = np.empty((depth, rows, columns), dtype=dtype)
    step = max(1, SLAB_BYTES // (columns * rows * image.get_data_dtype().itemsize))
    for start in range(0, depth, step):
        some = slice(start, start + step)
        slab = np.asarray(image.dataobj[(slice(None), slice(None), some, *(0,) * len(shape[3:]))])
        voxels[some] = as_voxels(path, slab.transpose(2, 1, 0), dtype)
    return voxels


def _check_dimensions(path: Path, shape: tuple[int, ...]) -> None:
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        raise InputError(f"{path} has shape {shape}: expected three dimensions (x, y, z)")


def _check_rest(path: Path, file: gzip.GzipFile | BufferedReader, end: int) -> None:
    """Read on to the end, so that gzip checks its checksum; nibabel stops after the voxels."""
    file.seek(end)
    if len(file.read(MAX_TRAILING + 1)) > MAX_TRAILING:
        raise InputError(
            f"{path} has more than {MAX_TRAILING:,} bytes after the voxels that its header claims: "
            "the file is damaged or hostile"
        )
