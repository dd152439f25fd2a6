"""A folder with a DICOM series as one volume, after checking that the series is whole.

Headers are read with pydicom, voxels with SimpleITK, which knows the compressed syntaxes.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from gmrd.errors import InputError
from gmrd.io.formats import MAX_VOXELS, check_size
from gmrd.io.itk import read_itk_series, required
from gmrd.io.scan import Scan

MAX_FILES = 5000
TOLERANCE = 0.02
"""Share of the slice distance by which distances may differ."""


def read_series(folder: Path, *, source: str) -> Scan:
    """Read the one image series in a folder, looking into its subfolders.

    Raises:
        InputError: there is none or more than one, a slice is missing or double, slices differ
            in size or direction, or a link leads out of the folder.
    """
    series: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    for file, header in _headers(folder, source):
        series[str(header.get("SeriesInstanceUID", ""))].append((file, header))
    if len(series) > 1:
        found = ", ".join(
            f"{members[0][1].get('SeriesDescription', 'unnamed')} ({len(members)} files)"
            for members in series.values()
        )
        raise InputError(f"{source} holds {len(series)} series: {found}. Put one in a folder")
    members = next(iter(series.values()))
    ordered = _in_order(members, source)
    first = ordered[0][1]
    check_size(Path(source), (int(first.Columns), int(first.Rows), len(ordered)))
    image, affine = read_itk_series([file for file, _ in ordered], source)
    headers = tuple(header for _, header in ordered)
    return Scan(Path(source).stem or "series", image, affine, source=source, slices=headers)


def _headers(folder: Path, source: str) -> list[tuple[Path, Any]]:
    pydicom = required("pydicom", source)
    root, headers = folder.resolve(), []
    for number, file in enumerate(sorted(p for p in folder.rglob("*") if p.is_file())):
        if number >= MAX_FILES:
            raise InputError(f"{source} holds more than {MAX_FILES} files: give a series' folder")
        if not file.resolve().is_relative_to(root):
            raise InputError(f"{file} is a link out of {source}: put the file itself there")
        with file.open("rb") as stream:
            if stream.read(132)[128:] != b"DICM":
                continue
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True)
        except Exception as error:  # a damaged header raises whatever its parts raise
            raise InputError(f"{file} cannot be read as DICOM: {error}") from error
        if "ImagePositionPatient" in header and "Rows" in header:
            headers.append((file, header))
    if not headers:
        raise InputError(
            f"{source} holds no DICOM slices with a position in the patient, and no scan of "
            "another format (.nii, .nii.gz, .nrrd, .mha, .zip)"
        )
    return headers


def _in_order(members: list[tuple[Path, Any]], source: str) -> list[tuple[Path, Any]]:
    """The slices along their normal; refuses a series with gaps."""
    first = members[0][1]
    for file, header in members:
        for key in ("Rows", "Columns", "ImageOrientationPatient", "PixelSpacing"):
            if not np.allclose(_numbers(header, key), _numbers(first, key), atol=1e-4):
                raise InputError(
                    f"{file} differs from {members[0][0].name} in {key}: not one volume"
                )
    if int(first.Rows) * int(first.Columns) > MAX_VOXELS:
        raise InputError(f"{source}: slices of {first.Rows} x {first.Columns} are too large")
    rows, columns = np.reshape(_numbers(first, "ImageOrientationPatient"), (2, 3))
    normal = np.cross(rows, columns)
    heights = [float(_numbers(h, "ImagePositionPatient") @ normal) for _, h in members]
    order = np.argsort(heights)
    gaps = np.diff(np.asarray(heights)[order])
    if len(gaps) and (gaps.min() <= 0 or np.ptp(gaps) > TOLERANCE * np.median(gaps)):
        worst = int(np.abs(gaps - np.median(gaps)).argmax())
        raise InputError(
            f"{source}: slices lie {np.median(gaps):.3g} mm apart, but {gaps[worst]:.3g} mm after "
            f"{members[order[worst]][0].name}: a slice is missing or there twice"
        )
    return [members[i] for i in order]


def _numbers(header: Any, key: str) -> np.ndarray:
    value = header.get(key)
    if value is None:
        raise InputError(f"a slice of the series has no {key}: it cannot be placed in the patient")
    return np.atleast_1d(np.asarray(value, dtype=np.float64))
