"""Whether the header of a NRRD or MetaImage file can be believed, before ITK sees it.

ITK trusts what it reads: a header of 300 dimensions ends the process. So the fields that size its
memory are read here by a stricter grammar than ITK's, and anything else is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gmrd.errors import InputError
from gmrd.io.formats import check_size, head

TextFormat = Literal["nrrd", "metaimage"]

MAX_TEXT_HEADER = 1 << 16


def check_text_header(path: Path, kind: TextFormat) -> None:
    """NRRD and MetaImage headers are lines of text; data in another file is refused."""
    lines = head(path, MAX_TEXT_HEADER).split(b"\n")
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
