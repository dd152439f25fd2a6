"""A DICOM series as a volume, ordered and placed by its tags, never by its file names alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gmrd.data.protocol import numeric_key
from gmrd.errors import InputError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's x and y grow to the patient's left and back, NIfTI's to the right and front."""

MAX_UNEVENNESS = 0.1
"""Largest deviation of a slice gap from the mean gap, as a share of it."""


@dataclass(frozen=True)
class Series:
    """Slices of one series in order of their position along the slice normal.

    Attributes:
        files: File of every slice z.
        affine: Voxel (x, y, z) to world millimetres, in nibabel's convention.
    """

    files: tuple[Path, ...]
    affine: Float[np.ndarray, "4 4"]

    def pixels(self) -> Float[np.ndarray, "z y x"]:
        """Intensities in the modality's units (Hounsfield units for CT)."""
        import SimpleITK  # only DICOM needs the extra

        image = SimpleITK.ReadImage([str(path) for path in self.files], SimpleITK.sitkFloat64)
        return np.asarray(SimpleITK.GetArrayFromImage(image), dtype=np.float64)


def read_series(folder: Path, wanted: Mapping[str, Any] | None = None) -> Series:
    """The one series of a folder whose tags have the wanted values.

    Args:
        folder: Folder of DICOM files; other files are passed over.
        wanted: Attribute keywords and values, such as ``{"SeriesDescription": "T2"}``.

    Raises:
        InputError: If there is no such series or more than one, or its slices do not form
            a volume with even gaps.
    """
    try:
        import pydicom
    except ImportError as error:
        raise InputError(
            "reading DICOM needs pydicom and SimpleITK: pip install 'gmrd[dicom]'"
        ) from error
    by_series: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    for path in sorted((p for p in folder.iterdir() if p.is_file()), key=_file_key):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except pydicom.errors.InvalidDicomError:
            continue
        if all(str(header.get(key)) == str(value) for key, value in (wanted or {}).items()):
            by_series[str(header.get("SeriesInstanceUID"))].append((path, header))
    if len(by_series) != 1:
        raise InputError(_which_series(folder, by_series, wanted or {}))
    (slices,) = by_series.values()
    return _as_volume(folder, slices)


def _file_key(path: Path) -> Any:
    return numeric_key(path.name)


def _which_series(folder: Path, by_series: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    asked = f" with {dict(wanted)}" if wanted else ""
    if not by_series:
        return f"{folder} holds no DICOM series{asked}: check the path and data.preparation.series"
    listed = "; ".join(
        f"{slices[0][1].get('SeriesDescription', '')!r} number "
        f"{slices[0][1].get('SeriesNumber')} ({len(slices)} slices)"
        for slices in by_series.values()
    )
    return (
        f"{folder} holds {len(by_series)} DICOM series{asked}: {listed}. Say which one is wanted, "
        "such as ++data.preparation.series.SeriesNumber=301"
    )


def _as_volume(folder: Path, slices: list[tuple[Path, Any]]) -> Series:
    first = slices[0][1]
    orientation = np.array(first.ImageOrientationPatient, dtype=float)
    row, column = orientation[:3], orientation[3:]
    for path, header in slices:
        same = np.allclose(np.array(header.ImageOrientationPatient, float), orientation, atol=1e-3)
        if not same or (header.Rows, header.Columns) != (first.Rows, first.Columns):
            raise InputError(f"{path} has another orientation or size than the rest of its series")
    origins = np.array([header.ImagePositionPatient for _, header in slices], dtype=float)
    heights = origins @ np.cross(row, column)
    order = np.argsort(heights, kind="stable")
    _refuse_uneven(folder, np.diff(heights[order]))
    step = (origins[order[-1]] - origins[order[0]]) / max(len(order) - 1, 1)
    if len(order) == 1:
        step = np.cross(row, column) * float(first.get("SliceThickness") or 1.0)
    affine = np.eye(4)
    # PixelSpacing is (between rows, between columns); the row vector points along x.
    affine[:3, 0] = row * float(first.PixelSpacing[1])
    affine[:3, 1] = column * float(first.PixelSpacing[0])
    affine[:3, 2] = step
    affine[:3, 3] = origins[order[0]]
    return Series(tuple(slices[i][0] for i in order), LPS_TO_RAS @ affine)


def _refuse_uneven(folder: Path, gaps: Float[np.ndarray, " gaps"]) -> None:
    if len(gaps) == 0:
        return
    worst = int(np.abs(gaps - gaps.mean()).argmax())
    if gaps.min() <= 0 or abs(gaps[worst] - gaps.mean()) > MAX_UNEVENNESS * gaps.mean():
        raise InputError(
            f"{folder}: the gap between slices {worst} and {worst + 1} is {gaps[worst]:.2f} mm, "
            f"but {gaps.mean():.2f} mm on average: a slice is missing or there twice"
        )
