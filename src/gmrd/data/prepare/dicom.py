"""Finding the DICOM series of a download that a data set's configuration specifies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gmrd.errors import InputError
from gmrd.io.dicom import find_series, listed, stack_series
from gmrd.io.scan import Scan


def read_series(folder: Path, wanted: Mapping[str, Any] | None = None) -> Scan:
    """The one series of a folder whose tags have the wanted values.

    Args:
        folder: Folder of DICOM files; other files are skipped.
        wanted: Attribute keywords and values, such as ``{"SeriesDescription": "T2"}``.

    Raises:
        InputError: If there is no such series or more than one, or its slices do not form
            a volume.
    """
    wanted = wanted or {}
    series = [
        files
        for found in find_series(folder, str(folder))
        if (files := [f for f in found if _matches(f.header, wanted)])
    ]
    asked = f" with {dict(wanted)}" if wanted else ""
    if not series:
        raise InputError(
            f"{folder} holds no DICOM series{asked}: check the path and data.preparation.series"
        )
    if len(series) > 1:
        raise InputError(
            f"{folder} holds {len(series)} DICOM series{asked}: {listed(series)}. Choose one, for "
            'example with "data.preparation.series={SeriesNumber: 301}"'
        )
    return stack_series(series[0], str(folder))


def _matches(header: Any, wanted: Mapping[str, Any]) -> bool:
    return all(str(header.get(key)) == str(value) for key, value in wanted.items())
