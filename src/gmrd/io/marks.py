"""The mark in a result's header, so that results in a folder are not mistaken for scans."""

from __future__ import annotations

import struct
from pathlib import Path

from gmrd.errors import InputError
from gmrd.io.formats import head

MARK = "gmrd: found, not acquired"
"""In the header of every NIfTI and NRRD result."""

DERIVED = (
    "1.2.840.10008.1.3.10",  # media storage directory (DICOMDIR)
    "1.2.840.10008.5.1.4.1.1.66.4",  # segmentation
    "1.2.840.10008.5.1.4.1.1.481.3",  # RT structure set
)
"""DICOM classes that hold no slices."""

DESCRIPTION = {348: 148, 540: 240}
"""Byte offset of the description in a NIfTI header, by header size."""


def is_result(path: Path) -> bool:
    """Whether a file's header carries :data:`MARK`; False if it cannot be read."""
    try:
        start = head(path, 4096)
    except InputError:
        return False
    if start[:4] == b"NRRD":
        return MARK.encode() in start
    for order in "<>":
        (size,) = struct.unpack(order + "i", start[:4].ljust(4, b"\0"))
        if size in DESCRIPTION:
            at = DESCRIPTION[size]
            return start[at : at + len(MARK)] == MARK.encode()
    return False


def holds_slices(folder: Path) -> bool:
    """Whether a folder itself holds a DICOM file that is neither a DICOMDIR nor a result."""
    return any(_is_slice(file) for file in sorted(folder.iterdir()) if file.is_file())


def _is_slice(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            if stream.read(132)[128:] != b"DICM":
                return False
        from pydicom.filereader import read_file_meta_info

        return read_file_meta_info(file).get("MediaStorageSOPClassUID") not in DERIVED
    except Exception:  # damaged, unreadable, or no pydicom: reading the series will say so
        return file.suffix.lower() in (".dcm", "")
