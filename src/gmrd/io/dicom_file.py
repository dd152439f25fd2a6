"""One DICOM file: its header, and whether its pixels are all there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gmrd.errors import InputError
from gmrd.io.itk import required

PIXEL_DATA = 0x7FE00010


@dataclass(frozen=True)
class DicomFile:
    """A slice of a series.

    Attributes:
        path: the file.
        header: pydicom's dataset of everything before the pixels.
    """

    path: Path
    header: Any

    def numbers(self, keyword: str, n: int) -> Float[np.ndarray, " n"]:
        """The ``n`` finite numbers of an attribute.

        Raises:
            InputError: it is missing, has another count, or one is no finite number.
        """
        try:
            value = self.header.get(keyword)
            found = np.atleast_1d(np.asarray(value, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.path}: {keyword} is no number: {error}") from error
        if value is None:
            raise InputError(f"{self.path} has no {keyword}: it cannot be placed in the patient")
        if found.shape != (n,) or not np.isfinite(found).all():
            raise InputError(
                f"{self.path}: {keyword} is {value}, where {n} finite numbers are expected"
            )
        return found


def read_header(path: Path) -> DicomFile | None:
    """The header of a slice; None of any other file, DICOM or not.

    Raises:
        InputError: the file cannot be read, or it is DICOM and damaged.
    """
    pydicom = required("pydicom", path)
    try:
        with path.open("rb") as stream:
            if stream.read(132)[128:] != b"DICM":
                return None
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged header raises whatever its parts raise
        raise InputError(f"{path} cannot be read as DICOM: {error}") from error
    if "ImagePositionPatient" in header and "Rows" in header:
        return DicomFile(path, header)
    return None
