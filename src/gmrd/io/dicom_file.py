"""One DICOM file: its header, and whether its pixels are complete."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gmrd.errors import InputError
from gmrd.io.itk import required

PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Tags of pixel data: float, double and integer."""

UNDEFINED_LENGTH = 0xFFFFFFFF

END_OF_FRAGMENTS = b"\xfe\xff\xdd\xe0"
"""The tag that ends compressed pixel data."""

TAIL = 1 << 16
"""Bytes at the end of a file that are searched for that tag; padding may follow it."""

DEFLATED = "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True)
class DicomFile:
    """A slice of a series.

    Attributes:
        path: the file.
        header: pydicom's dataset of everything before the pixel data.
    """

    path: Path
    header: Any

    def numbers(self, keyword: str, n: int) -> Float[np.ndarray, " n"]:
        """The ``n`` finite numbers of an attribute.

        Raises:
            InputError: it is missing, or not ``n`` finite numbers.
        """
        try:
            value = self.header.get(keyword)
            found = np.atleast_1d(np.asarray(value, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.path}: {keyword} is not a number: {error}") from error
        if value is None:
            raise InputError(f"{self.path} has no {keyword}: its position is unknown")
        if found.shape != (n,) or not np.isfinite(found).all():
            raise InputError(f"{self.path}: {keyword} is {value}: expected {n} finite numbers")
        return found


def read_header(path: Path) -> DicomFile | None:
    """The header of a slice; None for any other file, DICOM or not.

    Raises:
        InputError: the file cannot be read, or is damaged DICOM, or its pixels are incomplete.
    """
    pydicom = required("pydicom", path)
    pixels: list[int] = []

    def at_pixels(tag: Any, vr: str | None, length: int) -> bool:
        if tag in PIXELS:
            pixels.extend((length, 8 if vr is None else 12))
        return tag in PIXELS

    try:
        with path.open("rb") as stream:
            if stream.read(132)[128:] != b"DICM":
                return None
            if pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") == DEFLATED:
                raise InputError(f"{path} is a deflated file: convert it with dcmconv +te")
            stream.seek(0)
            header = pydicom.filereader.read_partial(stream, stop_when=at_pixels)
            at = stream.tell()
        for dataset in (header.file_meta, header):
            for tag in dataset.keys():  # noqa: SIM118 (iterating over a dataset decodes its values)
                if (kind := dataset.get_item(tag).VR) is not None:
                    pydicom.valuerep.VR(kind)  # pydicom itself fails only where the value is used
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # pydicom raises many types on a damaged header
        raise InputError(f"{path} cannot be read as DICOM: {error}") from error
    found = DicomFile(path, header)
    is_slice = "ImagePositionPatient" in header and "Rows" in header
    if not pixels and (is_slice or "Image Storage" in getattr(_class_of(header), "name", "")):
        raise InputError(f"{path} ends before its pixels: it is truncated. Copy it again")
    if not is_slice:
        return None
    _check_pixels(found, *pixels, at=at)
    return found


def _class_of(header: Any) -> Any:
    return header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")


def _refuse_other_greys(file: DicomFile, bits: int) -> None:
    """Refuse stored values that ITK would guess at or misread."""
    meaning = str(file.header.get("PhotometricInterpretation") or "missing")
    if meaning != "MONOCHROME2":
        raise InputError(
            f"{file.path}: PhotometricInterpretation is {meaning}: expected MONOCHROME2 (high "
            "values bright): convert the series"
        )
    stored = int(file.numbers("BitsStored", 1)[0])
    if not 1 <= stored <= bits:
        raise InputError(f"{file.path}: BitsStored is {stored} of {bits}: fix the header")
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        if file.header.get(keyword) is not None and not (
            file.numbers(keyword, 1)[0] or keyword == "RescaleIntercept"
        ):
            raise InputError(
                f"{file.path}: RescaleSlope is 0, which makes all intensities equal: fix the header"
            )


def _check_pixels(file: DicomFile, length: int, before: int, *, at: int) -> None:
    """Refuse a slice with fewer pixels than its header claims; ITK would leave the rest black."""
    sizes = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
    rows, columns, samples, bits = (int(file.numbers(k, 1)[0]) for k in sizes)
    if samples != 1 or int(file.header.get("NumberOfFrames") or 1) != 1:
        raise InputError(
            f"{file.path} is in colour or has several frames: give single-frame greyscale slices"
        )
    _refuse_other_greys(file, bits)
    size = file.path.stat().st_size
    if length == UNDEFINED_LENGTH:
        with file.path.open("rb") as stream:
            stream.seek(max(at, size - TAIL))
            whole = END_OF_FRAGMENTS in stream.read()
    else:
        whole = min(length, size - at - before) >= rows * columns * bits // 8
    if not whole:
        raise InputError(
            f"{file.path} has fewer pixels than {rows} x {columns}: it is truncated. Copy it again"
        )
