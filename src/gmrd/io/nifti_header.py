"""Checks of a NIfTI header, before a library allocates the memory that it claims."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

from gmrd.errors import InputError
from gmrd.io.formats import GZIP, MAX_DEFLATION, check_size, head

BYTES_OF_TYPE = {2: 1, 4: 2, 8: 4, 16: 4, 64: 8, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8}
"""Bytes per voxel of NIfTI's real data types, by code."""

MAX_OFFSET = 16 * 1024**2
"""Largest byte offset of the voxels; the header and its extensions come before."""

MAX_TRAILING = 1024**2
"""Bytes that may follow the voxels."""

SECOND = (struct.pack("<i", 540), struct.pack(">i", 540))
"""First bytes of a NIfTI-2 file."""


@dataclass(frozen=True)
class NiftiHeader:
    """The fields of a NIfTI-1 or NIfTI-2 header that are checked.

    Attributes:
        offset: byte at which the voxels begin.
        type_code: NIfTI's code of the voxels' data type.
        is_second: whether it is a NIfTI-2 header.
    """

    is_second: bool
    magic: bytes
    n_dims: int
    dims: tuple[int, ...]
    type_code: int
    offset: int | float
    pixdim: tuple[int | float, ...]
    sform_code: int

    @classmethod
    def unpack(cls, data: bytes) -> NiftiHeader:
        """From the first 348 or 540 bytes of a file, in either byte order."""
        order = "<" if data[2:4] == b"\0\0" else ">"
        second = data[:4] in SECOND

        def field(at_1: int, type_1: str, at_2: int, type_2: str) -> tuple[int | float, ...]:
            at, kind = (at_2, type_2) if second else (at_1, type_1)
            return struct.unpack_from(order + kind, data, at)

        n_dims, *dims = (int(n) for n in field(40, "8h", 16, "8q"))
        return cls(
            is_second=second,
            magic=data[4:8] if second else data[344:348],
            n_dims=n_dims,
            dims=tuple(dims),
            type_code=int(field(70, "h", 12, "h")[0]),
            offset=field(108, "f", 168, "q")[0],
            pixdim=field(80, "3f", 112, "3d"),
            sform_code=int(field(254, "h", 348, "i")[0]),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis, x first."""
        return self.dims[: self.n_dims]

    @property
    def n_bytes(self) -> int:
        """Size of the voxels in bytes."""
        return math.prod(self.shape) * BYTES_OF_TYPE[self.type_code]

    @property
    def end(self) -> int:
        """Byte at which the voxels end in the decompressed file."""
        return int(self.offset) + self.n_bytes


def check_nifti(path: Path) -> NiftiHeader:
    """Refuse a header that lies about its data or asks for too much memory.

    Raises:
        InputError: the message says what the header claims.
    """
    data = head(path, 540)
    if len(data) < (540 if data[:4] in SECOND else 348):
        raise InputError(f"{path} ends within its header: the file is damaged")
    header = NiftiHeader.unpack(data)
    _check_fields(path, header)
    check_size(path, header.shape)
    _check_extent(path, header)
    return header


def _check_fields(path: Path, header: NiftiHeader) -> None:
    if header.magic not in (b"n+1\0", b"n+2\0"):
        raise InputError(
            f"{path} is not a single-file NIfTI (magic {header.magic!r}): convert it to .nii or "
            ".nii.gz"
        )
    if not 1 <= header.n_dims <= 7:
        raise InputError(
            f"{path}: the header claims {header.n_dims} dimensions: the file is damaged"
        )
    if header.type_code not in BYTES_OF_TYPE:
        raise InputError(
            f"{path} stores voxels of NIfTI type {header.type_code}, which is not a real number "
            "type (colour or complex?): give a greyscale volume"
        )
    if header.sform_code <= 0 and not all(math.isfinite(p) and p for p in header.pixdim):
        raise InputError(
            f"{path}: the header gives voxels of {header.pixdim} and no sform: fix the header"
        )


def _check_extent(path: Path, header: NiftiHeader) -> None:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    held = path.stat().st_size * (MAX_DEFLATION if packed else 1)
    if not 0 <= header.offset <= held or held < header.n_bytes:
        raise InputError(
            f"{path}: the header claims {header.n_bytes:,} bytes of voxels from byte "
            f"{header.offset:g}, more than the file can hold: it is truncated or damaged"
        )
    if header.offset > MAX_OFFSET:
        raise InputError(
            f"{path}: the header puts the voxels at byte {header.offset:g}, after more than "
            f"{MAX_OFFSET:,} bytes of extensions: the file is damaged or hostile"
        )
