"""What a file is, by its first bytes, and whether its header can be believed.

Everything here looks at a header only, before any library allocates what the header claims.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Literal

from gmrd.errors import InputError

Format = Literal["nifti", "nrrd", "metaimage", "dicom", "zip"]

MAX_VOXELS = 1200 * 512 * 512
"""Largest volume that is read: 1200 slices of 512 x 512."""
MAX_TEXT_HEADER = 1 << 16

_NIFTI_TYPES = {2: 1, 4: 2, 8: 4, 16: 4, 64: 8, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8}
"""NIfTI codes of the real number types, and their bytes."""


def format_of(path: Path) -> Format:
    """The format of a file, by content; its name is not believed.

    Raises:
        InputError: it is missing, empty or none of the known formats.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    head = _head(path, 348)
    if head[:4] == b"PK\x03\x04":
        return "zip"
    if head[:5] == b"NRRD0":
        return "nrrd"
    if head[128:132] == b"DICM":
        return "dicom"
    if head.lstrip()[:10] in (b"ObjectType", b"NDims = 3\n") or head[:8] == b"NDims = ":
        return "metaimage"
    if head[:4] in (struct.pack("<i", 348), struct.pack(">i", 348)):
        return "nifti"
    if head[:4] in (struct.pack("<i", 540), struct.pack(">i", 540)):
        return "nifti"
    raise InputError(
        f"{path} is no image that can be read (it begins with {head[:8]!r}): give a NIfTI, NRRD "
        "or MHA file, a folder with a DICOM series, or a zip of one of these"
    )


def check_header(path: Path, kind: Format) -> None:
    """Refuse a header that lies about its data or asks for too much memory.

    Raises:
        InputError: the message says what the header claims.
    """
    if kind == "nifti":
        _check_nifti(path)
    elif kind in ("nrrd", "metaimage"):
        _check_text(path, kind)


def check_size(path: Path, shape: tuple[int, ...]) -> None:
    """Refuse dimensions that are not positive or exceed :data:`MAX_VOXELS`."""
    if not shape or min(shape) < 1:
        raise InputError(f"{path}: the header claims the shape {shape}: the file is damaged")
    if math.prod(shape) > MAX_VOXELS:
        raise InputError(
            f"{path}: the header claims {math.prod(shape):,} voxels {shape}, more than the "
            f"{MAX_VOXELS:,} that are read: crop or resample the scan"
        )


def _head(path: Path, n: int) -> bytes:
    with path.open("rb") as file:
        head = file.read(n)
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        with gzip.open(path) as file:
            return bytes(file.read(n))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged: it cannot be decompressed ({error})") from error


def _check_nifti(path: Path) -> None:
    head = _head(path, 544)
    order = "<" if head[2:4] == b"\0\0" else ">"
    second = struct.unpack(order + "i", head[:4])[0] == 540
    if len(head) < (540 if second else 348):
        raise InputError(f"{path} ends within its header: the file is damaged")
    magic = head[4:8] if second else head[344:348]
    if magic not in (b"n+1\0", b"n+2\0"):
        raise InputError(
            f"{path} is no single-file NIfTI (magic {magic!r}): convert it to .nii or .nii.gz"
        )
    n_dims, *dims = struct.unpack(
        order + ("8q" if second else "8h"), head[16:80] if second else head[40:56]
    )
    code = struct.unpack(order + "h", head[12:14] if second else head[70:72])[0]
    if not 1 <= n_dims <= 7:
        raise InputError(f"{path}: the header claims {n_dims} dimensions: the file is damaged")
    if code not in _NIFTI_TYPES:
        raise InputError(
            f"{path} stores voxels of NIfTI type {code}, which are no plain numbers (colour or "
            "complex?): give a grey-scale volume"
        )
    shape = tuple(dims[:n_dims])
    check_size(path, shape)
    offset = struct.unpack(
        order + ("q" if second else "f"), head[168:176] if second else head[108:112]
    )[0]
    needed = math.prod(shape) * _NIFTI_TYPES[code]
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    # Deflate shrinks to a thousandth at best.
    held = path.stat().st_size * (1032 if packed else 1)
    if not 0 <= offset <= held or held < needed:
        raise InputError(
            f"{path}: the header claims {needed:,} bytes of voxels from byte {offset:g}, more than "
            "the file can hold: it is cut off or damaged"
        )


def _check_text(path: Path, kind: Format) -> None:
    """NRRD and MetaImage headers are lines of text; data in another file is refused."""
    lines = _head(path, MAX_TEXT_HEADER).split(b"\n")
    fields: dict[str, str] = {}
    for raw in lines:
        line = raw.decode("latin-1").strip()
        if kind == "nrrd" and not line:
            break
        if line.startswith("#"):
            continue
        name, separator, value = line.partition(":" if kind == "nrrd" else "=")
        if separator:
            fields[name.strip().lower()] = value.strip()
        if name.strip() == "ElementDataFile":
            break
    else:
        raise InputError(f"{path}: the header does not end within {MAX_TEXT_HEADER:,} bytes")
    elsewhere = fields.get("data file", fields.get("datafile"))
    if kind == "metaimage" and fields.get("elementdatafile") != "LOCAL":
        elsewhere = fields.get("elementdatafile", "nothing")
    if elsewhere is not None:
        raise InputError(
            f"{path} points to its voxels in another file ({elsewhere}), which is not followed: "
            "write header and voxels to one file (.nrrd or .mha)"
        )
    sizes = fields.get("sizes" if kind == "nrrd" else "dimsize", "")
    try:
        shape = tuple(int(size) for size in sizes.split())
    except ValueError:
        shape = ()
    check_size(path, shape)
    if len(shape) != 3:
        raise InputError(f"{path} has the shape {shape}: expected three dimensions")
