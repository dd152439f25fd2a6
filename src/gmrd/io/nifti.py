"""Reading NIfTI with nibabel, slab by slab, so that memory holds the volume once."""

from __future__ import annotations

import gzip
import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float, Num

from gmrd.errors import InputError
from gmrd.io.affine import refuse_unplaceable, spacing_of
from gmrd.io.formats import GZIP, check_size
from gmrd.io.names import stem
from gmrd.io.nifti_header import MAX_TRAILING, check_nifti
from gmrd.io.scan import Scan
from gmrd.io.voxels import VoxelType, as_voxels

SLAB_BYTES = 32 * 1024**2
"""Voxels that are converted at a time, as stored."""

MM_PER_UNIT = {"unknown": 1.0, "meter": 1000.0, "mm": 1.0, "micron": 0.001}

MAX_CONVERTED_MM = 100.0
"""Voxels that measure more, once converted from another unit, were in millimetres."""


def read_nifti(path: Path, dtype: VoxelType) -> Scan:
    """Read a NIfTI file whose format was recognised.

    The affine is nibabel's: the sform where its code is above 0, else the qform, else pixdim;
    in millimetres, whatever unit the header states.

    Raises:
        InputError: the file is damaged or hostile, not one 3-D volume, or lies nowhere.
    """
    header = check_nifti(path)
    container: Any = nib.Nifti2Image if header.is_second else nib.Nifti1Image
    try:
        with _opened(path) as file:
            image = container.from_stream(file)
            affine = _affine(path, image)
            voxels = _voxels(path, image, dtype)
            _check_rest(path, file, header.end)
    except InputError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path} is damaged: it cannot be decompressed ({error}). Download or copy it again"
        ) from error
    except Exception as error:  # nibabel raises whatever the damage makes it stumble over
        raise InputError(
            f"{path} cannot be read as an image: {error}. Download or copy it again"
        ) from error
    shape = tuple(image.shape)
    return Scan(
        name=stem(path),
        image=voxels,
        affine=affine,
        header=image.header,
        stored_shape=shape if len(shape) != 3 else None,
        source=str(path),
    )


def scan_of_image(image: Any, dtype: VoxelType) -> Scan:
    """An image that nibabel holds, as a scan; its header is passed on if it is one of NIfTI.

    Raises:
        InputError: it is no volume, lies nowhere, or a voxel is refused.
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


def _opened(path: Path) -> gzip.GzipFile | BufferedReader:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return gzip.GzipFile(path) if packed else path.open("rb")


def _affine(path: Path, image: Any) -> Float[np.ndarray, "4 4"]:
    affine = np.array(image.affine, dtype=np.float64)
    known = isinstance(image.header, nib.Nifti1Header)  # NIfTI-2's is one, too
    unit = image.header.get_xyzt_units()[0] if known else "mm"
    affine[:3] *= MM_PER_UNIT[unit]
    refuse_unplaceable(path, affine)
    if MM_PER_UNIT[unit] != 1 and max(spacing_of(affine)) > MAX_CONVERTED_MM:
        raise InputError(
            f"{path}: voxels of {spacing_of(image.affine)[::-1]} {unit} cannot be right: set the "
            "unit in the header to mm"
        )
    return affine


def _voxels(path: Path, image: Any, dtype: VoxelType) -> Num[np.ndarray, "z y x"]:
    shape = image.shape
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        raise InputError(f"{path} has shape {shape}: expected three dimensions (x, y, z)")
    columns, rows, depth = shape[:3]
    voxels = np.empty((depth, rows, columns), dtype=dtype)
    step = max(1, SLAB_BYTES // (columns * rows * image.get_data_dtype().itemsize))
    for start in range(0, depth, step):
        some = slice(start, start + step)
        slab = np.asarray(image.dataobj[(slice(None), slice(None), some, *(0,) * len(shape[3:]))])
        voxels[some] = as_voxels(path, slab.transpose(2, 1, 0), dtype)
    return voxels


def _check_rest(path: Path, file: gzip.GzipFile | BufferedReader, end: int) -> None:
    """Read on to the checksum of a compressed file, which nibabel stops short of."""
    file.seek(end)
    if len(file.read(MAX_TRAILING + 1)) > MAX_TRAILING:
        raise InputError(
            f"{path} goes on for more than {MAX_TRAILING:,} bytes after the voxels that its header "
            "claims: the file is damaged or hostile"
        )
