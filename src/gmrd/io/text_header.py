"""Whether the header of a NRRD or MetaImage file can be believed, before ITK sees it.

ITK trusts what it reads: a header of 300 dimensions ends the process. So the fields that size its
memory are read here by a stricter grammar than ITK's, and anything else is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from gmrd.errors import InputError
from gmrd.io.formats import MAX_DEFLATION, check_size, head

TextFormat = Literal["nrrd", "metaimage"]

MAX_TEXT_HEADER = 1 << 16


MAX_LINE = 500
"""Bytes of a line; MetaIO keeps some values in arrays of fixed size."""

COMMENT = "#"

TYPES = {
    "metaimage": {
        f"met_{sign}{name}": size
        for name, size in (("char", 1), ("short", 2), ("int", 4), ("long", 4), ("long_long", 8))
        for sign in ("", "u")
    }
    | {"met_float": 4, "met_double": 8},
    "nrrd": {
        **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char"), 1),
        **dict.fromkeys(("uint8", "uint8_t"), 1),
        **dict.fromkeys(("short", "short int", "signed short", "signed short int"), 2),
        **dict.fromkeys(("int16", "int16_t", "ushort", "unsigned short"), 2),
        **dict.fromkeys(("unsigned short int", "uint16", "uint16_t"), 2),
        **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int"), 4),
        **dict.fromkeys(("uint32", "uint32_t", "float"), 4),
        **dict.fromkeys(("longlong", "long long", "long long int", "signed long long"), 8),
        **dict.fromkeys(("signed long long int", "int64", "int64_t", "ulonglong"), 8),
        **dict.fromkeys(("unsigned long long", "unsigned long long int", "uint64"), 8),
        **dict.fromkeys(("uint64_t", "double"), 8),
    },
}
"""Types of voxels, in lower case, and their bytes."""

COUNTS = {
    "metaimage": {
        "offset": 3,
        "position": 3,
        "origin": 3,
        "centerofrotation": 3,
        "elementspacing": 3,
        "elementsize": 3,
        "transformmatrix": 9,
        "rotation": 9,
        "orientation": 9,
        "elementnumberofchannels": 1,
    },
    "nrrd": {"spacings": 3},
}
"""How many finite numbers a field holds."""

REFUSED = {
    "metaimage": ("headersize", "elementdatafilelist"),
    "nrrd": ("byte skip", "byteskip", "line skip", "lineskip"),
}
"""Fields that say where voxels begin: they begin behind the header."""


def check_text_header(path: Path, kind: TextFormat) -> None:
    """Refuse a header that asks for too much memory, breaks ITK, or names another file.

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
    stored = fields.get("type" if kind == "nrrd" else "elementtype", "")
    if stored.lower() not in TYPES[kind]:
        raise InputError(f"{path} stores voxels of type {stored[:40]!r}: expected plain numbers")
    for name, count in COUNTS[kind].items():
        if name in fields and not _are_finite(fields[name], count):
            raise InputError(f"{path}: {name} is {fields[name][:80]!r}, but has {count} numbers")
    for name in REFUSED[kind]:
        if name in fields:
            raise InputError(f"{path} sets {name}, which is not followed: write the file anew")
    _check_extent(path, kind, fields, end, math.prod(shape) * TYPES[kind][stored.lower()])


def _fields(path: Path, kind: TextFormat) -> tuple[dict[str, str], int]:
    """The fields of a header by name in lower case, and the byte after it."""
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
                f"{path}: the header line {line[:60]!r} is no field, too long, or there twice: the "
                "file is damaged"
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
            f"{path} points to its voxels in another file ({elsewhere}), which is not followed: "
            "write header and voxels to one file (.nrrd or .mha)"
        )


def _check_extent(
    path: Path, kind: TextFormat, fields: Mapping[str, str], end: int, needed: int
) -> None:
    if kind == "nrrd":
        encoding = fields.get("encoding", "").lower()
        if encoding not in ("raw", "gzip", "gz"):
            raise InputError(f"{path} is encoded as {encoding[:20]!r}: write it raw or with gzip")
        packed = encoding != "raw"
    else:
        packed = fields.get("compresseddata", "false").lower() in ("true", "1")
    held = path.stat().st_size - end
    if held * (MAX_DEFLATION if packed else 1) < needed:
        raise InputError(
            f"{path}: the header claims {needed:,} bytes of voxels, more than the file can hold: "
            "it is cut off or damaged"
        )


def _whole_numbers(text: str) -> tuple[int, ...]:
    words = text.split()[:9]
    good = all(word.isascii() and word.lstrip("-").isdigit() and len(word) < 12 for word in words)
    return tuple(int(word) for word in words) if good and "-" not in text[1:] else ()


def _are_finite(text: str, count: int) -> bool:
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        return False
    return len(values) == count and all(math.isfinite(value) for value in values)
