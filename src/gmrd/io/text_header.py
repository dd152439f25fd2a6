"""The header of a NRRD or MetaImage file, parsed strictly.

Only a subset of both formats is read: one greyscale 3-D volume with a voxel size, in the same file
as its header. Anything else is refused before memory is allocated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gmrd.errors import InputError
from gmrd.io.formats import MAX_DEFLATION, check_size, head

TextFormat = Literal["nrrd", "metaimage"]

MAX_TEXT_HEADER = 1 << 16
MAX_LINE = 500
"""In bytes."""

COMMENT = "#"

TYPES: Mapping[TextFormat, Mapping[str, str]] = {
    "metaimage": {
        "met_char": "i1", "met_uchar": "u1", "met_short": "i2", "met_ushort": "u2",
        "met_int": "i4", "met_uint": "u4", "met_long": "i4", "met_ulong": "u4",
        "met_long_long": "i8", "met_ulong_long": "u8", "met_float": "f4", "met_double": "f8",
    },
    "nrrd": {
        **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
        **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
        **dict.fromkeys(("short", "short int", "signed short", "signed short int"), "i2"),
        **dict.fromkeys(("int16", "int16_t"), "i2"),
        **dict.fromkeys(("ushort", "unsigned short", "unsigned short int"), "u2"),
        **dict.fromkeys(("uint16", "uint16_t"), "u2"),
        **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
        **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
        **dict.fromkeys(("longlong", "long long", "long long int", "signed long long"), "i8"),
        **dict.fromkeys(("signed long long int", "int64", "int64_t"), "i8"),
        **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int"), "u8"),
        **dict.fromkeys(("uint64", "uint64_t"), "u8"),
        "float": "f4", "double": "f8",
    },
}  # fmt: skip
"""Voxel types (lower case) as numpy types."""

REFUSED = {
    "metaimage": ("headersize", "elementdatafilelist"),
    "nrrd": ("byte skip", "byteskip", "line skip", "lineskip"),
}
"""Fields that place the voxels elsewhere than right after the header."""


@dataclass(frozen=True)
class TextHeader:
    """The voxels' type and shape, and the fields that give their geometry.

    Attributes:
        fields: values by name in lower case.
        shape: voxels along each axis, x first.
        stored: type of the voxels.
        packed: whether they are compressed (zlib or gzip).
        end: size of the header in bytes.
    """

    fields: Mapping[str, str]
    shape: tuple[int, ...]
    stored: np.dtype[Any]
    packed: bool
    end: int

    @property
    def n_bytes(self) -> int:
        """Size of the voxels in bytes."""
        return math.prod(self.shape) * self.stored.itemsize


def read_text_header(path: Path, kind: TextFormat) -> TextHeader:
    """Read a header; refuse one that claims too much memory or points to another file.

    Raises:
        InputError: the message says what the header claims.
    """
    fields, end = _fields(path, kind)
    _refuse_elsewhere(path, kind, fields)
    shape = _whole_numbers(fields.get("sizes" if kind == "nrrd" else "dimsize", ""))
    check_size(path, shape)
    n_dims = fields.get("dimension" if kind == "nrrd" else "ndims", "")
    if len(shape) != 3 or _whole_numbers(n_dims) != (3,):
        raise InputError(
            f"{path} has the shape {shape} and {n_dims[:20]!r} dimensions: expected three "
            "dimensions"
        )
    for name in REFUSED[kind]:
        if name in fields:
            raise InputError(f"{path} sets {name}, which is not supported: write the file again")
    x, y, z = shape
    header = TextHeader(
        fields, (x, y, z), _type(path, kind, fields), _packed(path, kind, fields), end
    )
    held = path.stat().st_size - end
    if held * (MAX_DEFLATION if header.packed else 1) < header.n_bytes:
        raise InputError(
            f"{path}: the header claims {header.n_bytes:,} bytes of voxels, more than the file can "
            "hold: it is truncated or damaged"
        )
    return header


def _fields(path: Path, kind: TextFormat) -> tuple[dict[str, str], int]:
    """The header's fields by name in lower case, and its size in bytes."""
    end, fields = 0, dict[str, str]()
    for raw in head(path, MAX_TEXT_HEADER).split(b"\n"):
        end += len(raw) + 1
        line = raw.decode("latin-1").strip()
        if kind == "nrrd" and not line:
            return fields, end
        if kind == "nrrd" and (line.startswith((COMMENT, "NRRD0")) or ":=" in line):
            continue
        name, separator, value = line.partition(":" if kind == "nrrd" else "=")
        name = name.strip().lower()
        strange = not name or (kind == "metaimage" and not re.fullmatch(r"[^\s:]+", name))
        if len(raw) > MAX_LINE or not separator or strange or name in fields:
            raise InputError(
                f"{path}: the header line {line[:60]!r} is not a field, too long or a duplicate: "
                "the file is damaged"
            )
        fields[name] = value.strip()
        if name == "elementdatafile":
            return fields, end
    raise InputError(f"{path}: the header does not end within {MAX_TEXT_HEADER:,} bytes")


def _refuse_elsewhere(path: Path, kind: TextFormat, fields: Mapping[str, str]) -> None:
    elsewhere = fields.get("data file", fields.get("datafile"))
    if kind == "metaimage" and fields.get("elementdatafile") != "LOCAL":
        elsewhere = fields.get("elementdatafile", "nothing")
    if elsewhere is not None:
        raise InputError(
            f"{path} keeps its voxels in another file ({elsewhere}), which is not supported: "
            "write header and voxels to one file (.nrrd or .mha)"
        )


def _type(path: Path, kind: TextFormat, fields: Mapping[str, str]) -> np.dtype[Any]:
    name = fields.get("type" if kind == "nrrd" else "elementtype", "")
    if name.lower() not in TYPES[kind]:
        raise InputError(f"{path} stores voxels of type {name[:40]!r}: expected plain numbers")
    if fields.get("elementnumberofchannels", "1") != "1":
        raise InputError(f"{path} has several channels: give a greyscale volume")
    stored = np.dtype(TYPES[kind][name.lower()])
    if kind == "nrrd":
        order = fields.get("endian", "little" if stored.itemsize == 1 else "").lower()
        if order not in ("little", "big"):
            raise InputError(f"{path}: endian is {order[:20]!r}: expected little or big")
        return stored.newbyteorder("<" if order == "little" else ">")
    order = fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "false"))
    return stored.newbyteorder(">" if _is_true(order) else "<")


def _packed(path: Path, kind: TextFormat, fields: Mapping[str, str]) -> bool:
    if kind == "nrrd":
        encoding = fields.get("encoding", "").lower()
        if encoding not in ("raw", "gzip", "gz"):
            raise InputError(f"{path} is encoded as {encoding[:20]!r}: write it as raw or gzip")
        return encoding != "raw"
    if not _is_true(fields.get("binarydata", "true")):
        raise InputError(f"{path} stores its voxels as text: write it with BinaryData = True")
    return _is_true(fields.get("compresseddata", "false"))


def _is_true(text: str) -> bool:
    return text.lower() in ("true", "1")


def _whole_numbers(text: str) -> tuple[int, ...]:
    words = text.split()[:9]
    good = all(word.isascii() and word.lstrip("-").isdigit() and len(word) < 12 for word in words)
    return tuple(int(word) for word in words) if good and "-" not in text[1:] else ()
