"""File formats: their extensions, their first bytes, and the largest volume that is read."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from itertools import islice
from pathlib import Path
from typing import Literal

from gmrd.errors import InputError

Format = Literal["nifti", "nrrd", "metaimage", "dicom", "zip"]

NIFTI_EXTENSIONS = (".nii", ".nii.gz")
SCAN_EXTENSIONS = (*NIFTI_EXTENSIONS, ".nrrd", ".mha")
ARCHIVE_EXTENSION = ".zip"
READABLE_EXTENSIONS = (*SCAN_EXTENSIONS, ARCHIVE_EXTENSION)
"""All that :func:`gmrd.io.readers.read_scan` opens; a DICOM series is a folder."""

MAX_VOXELS = 1200 * 512 * 512
"""Largest volume that is read: 1200 slices of 512 x 512."""

MAX_DEFLATION = 1032
"""Deflate cannot compress further, so a file that claims more lies about its size."""

MAX_FILES = 5000
"""Most files that a folder or zip with one series may hold."""

GZIP = b"\x1f\x8b"


def expanded(path: str | Path) -> Path:
    """The path with ``~`` replaced by the home folder, if there is such a user."""
    return Path(os.path.expanduser(path))


def stem(path: Path) -> str:
    """A file's name without its image extensions."""
    name = path.name.removesuffix(".gz")
    return name.rsplit(".", 1)[0] if "." in name else name


def format_of(path: Path) -> Format:
    """The format of a file by its content, whatever its name.

    Raises:
        InputError: it is missing, not a regular file, unreadable, or in no known format.
    """
    start = head(path, 348)
    if start[:4] == b"PK\x03\x04":
        return "zip"
    if start[:5] == b"NRRD0":
        return "nrrd"
    if start[128:132] == b"DICM":
        return "dicom"
    if start.lstrip()[:10] == b"ObjectType" or start[:5] == b"NDims":
        return "metaimage"
    if start[:4] in [struct.pack(order + "i", size) for order in "<>" for size in (348, 540)]:
        return "nifti"
    raise InputError(
        f"{path} cannot be read: no known image format begins with {start[:8]!r}. Give a NIfTI, "
        "NRRD or MHA file, a folder with a DICOM series, or a zip of one of these. If it is one, "
        "it is damaged: download or copy it again"
    )


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; False if it cannot be checked."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # the name is too long, or holds a zero byte
        return False


def files_below(folder: Path) -> list[Path]:
    """The regular files in a folder and its subfolders, sorted.

    Raises:
        InputError: there are more than :data:`MAX_FILES`, as in a home folder given by mistake.
    """
    files = list(islice((file for file in folder.rglob("*") if file.is_file()), MAX_FILES + 1))
    if len(files) > MAX_FILES:
        raise InputError(
            f"{folder} holds more than {MAX_FILES} files: give the folder of one series"
        )
    return sorted(files)


def refuse_no_file(path: Path) -> None:
    """Refuse a missing or special file: reading a pipe would block forever."""
    try:
        if path.is_file():
            return
        there = path.exists()
    except (OSError, ValueError) as error:  # the name is too long, or holds a zero byte
        raise InputError(f"{str(path)[:200]!r} cannot be opened: {error}") from error
    raise InputError(f"{path} is not a regular file" if there else f"{path} does not exist")


def check_size(path: Path, shape: tuple[int, ...]) -> None:
    """Refuse dimensions that are not positive or exceed :data:`MAX_VOXELS`."""
    if not shape or min(shape) < 1:
        raise InputError(
            f"{path}: the header claims the shape {shape}: expected three dimensions of 1 or more; "
            "the file is damaged"
        )
    if math.prod(shape) > MAX_VOXELS:
        raise InputError(
            f"{path}: the header claims {math.prod(shape):,} voxels {shape}, more than the "
            f"{MAX_VOXELS:,} that are read: crop or resample the scan"
        )


def head(path: Path, n: int) -> bytes:
    """The first ``n`` bytes of a file, decompressed if it is a gzip file.

    Raises:
        InputError: it is missing, not a regular file, unreadable or damaged.
    """
    refuse_no_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(n)
        if start[:2] != GZIP:
            return start
        with gzip.open(path) as file:
            return bytes(file.read(n))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is damaged: it cannot be decompressed ({error})") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
