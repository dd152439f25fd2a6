"""Reading a NRRD or MetaImage file, decompressing no more than its header claims."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gmrd.errors import InputError
from gmrd.io.nifti_header import MAX_TRAILING
from gmrd.io.scan import Scan
from gmrd.io.text_affine import text_affine
from gmrd.io.text_header import TextFormat, read_text_header
from gmrd.io.voxels import VoxelType, as_voxels

ZLIB_OR_GZIP = 47
"""zlib's ``wbits`` for detecting a zlib or gzip header."""

PIECE = 1 << 20
"""Bytes read at a time."""


def read_text_volume(path: Path, kind: TextFormat, dtype: VoxelType) -> Scan:
    """Read a NRRD or MetaImage file.

    Raises:
        InputError: the file is damaged or hostile, not one 3-D volume, or its affine is refused.
    """
    header = read_text_header(path, kind)
    affine = text_affine(path, kind, header.fields)
    with path.open("rb") as file:
        file.seek(header.end)
        data = (_unpacked if header.packed else _plain)(path, file, header.n_bytes)
    stored = np.frombuffer(data, header.stored, count=header.n_bytes // header.stored.itemsize)
    voxels = as_voxels(path, stored.reshape(header.shape[::-1]), dtype)
    return Scan(path.name.rsplit(".", 1)[0], voxels, affine, source=str(path))


def _plain(path: Path, file: BinaryIO, n: int) -> bytes:
    data = file.read(n)
    _refuse_more(path, len(file.read(MAX_TRAILING + 1)))
    return data


def _unpacked(path: Path, file: BinaryIO, n: int) -> bytearray:
    """The first ``n`` decompressed bytes, once the stream's checksum has been verified."""
    stream, data, most = zlib.decompressobj(ZLIB_OR_GZIP), bytearray(), n + MAX_TRAILING
    try:
        while not stream.eof and (packed := stream.unconsumed_tail or file.read(PIECE)):
            data += stream.decompress(packed, most + 1 - len(data))
            _refuse_more(path, len(data) - n)
    except zlib.error as error:
        raise InputError(
            f"{path} is damaged: it cannot be decompressed ({error}). Download or copy it again"
        ) from error
    if not stream.eof or len(data) < n:
        raise InputError(f"{path} is truncated within its voxels. Download or copy it again")
    return data


def _refuse_more(path: Path, n: int) -> None:
    if n > MAX_TRAILING:
        raise InputError(
            f"{path} has more than {MAX_TRAILING:,} bytes after the voxels that its header claims: "
            "the file is damaged or hostile"
        )
