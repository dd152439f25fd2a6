"""DICOM series: slices lie where their headers put them, or the series is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmrd.data.prepare.dicom import read_series
from gmrd.errors import InputError
from gmrd.io.dicom_file import DicomFile
from gmrd.io.dicom_stack import TOLERANCE, affine_of, in_order
from gmrd.io.readers import read_scan

pytest.importorskip("pydicom", reason="DICOM: install gmrd[dicom]")
pytest.importorskip("SimpleITK", reason="DICOM: install gmrd[dicom]")

import pydicom

from helpers.raw_data import write_dicom_series

N = 12
SPACING = (3.0, 1.5, 1.5)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 1000, (N, 20, 24))
    write_dicom_series(tmp_path / "series", image, spacing=SPACING)
    return tmp_path / "series"


def change(folder: Path, edit: Callable[[int, Any], None]) -> None:
    for z, file in enumerate(sorted(folder.iterdir())):
        slice_ = pydicom.dcmread(file)
        edit(z, slice_)
        slice_.save_as(file)


def test_slices_under_a_tilted_gantry_lie_where_their_headers_say(
    series: Path, tmp_path: Path
) -> None:
    def shift(z: int, slice_: Any) -> None:
        slice_.ImagePositionPatient = [-100.0, -120.0 + 0.7 * z, 3.0 * z]

    change(series, shift)
    scan = read_scan(series)
    np.testing.assert_allclose(scan.affine @ [0, 0, N - 1, 1], [100, 120 - 0.7 * 11, 33, 1])
    written = nib.load(scan.save(tmp_path / "out.nii.gz", scan.image))
    np.testing.assert_allclose(written.affine, scan.affine, atol=1e-4)
    # A qform holds no shear: it must not place the volume for a viewer that prefers it.
    assert int(written.header["qform_code"]) == 0
    np.testing.assert_allclose(read_scan(tmp_path / "out.nii.gz").affine, scan.affine, atol=1e-4)


def test_prediction_reads_what_preparation_reads(series: Path) -> None:
    def jitter(z: int, slice_: Any) -> None:
        slice_.ImagePositionPatient = [-100.0, -120.0, round(3.0 * z + 0.1 * (z % 2), 1)]

    change(series, jitter)
    prepared, predicted = read_series(series), read_scan(series)
    np.testing.assert_array_equal(prepared.affine, predicted.affine)
    np.testing.assert_array_equal(prepared.image, predicted.image)


def headers(origins: np.ndarray) -> list[DicomFile]:
    return [
        DicomFile(
            Path(f"{z}.dcm"),
            {
                "Rows": 4,
                "Columns": 4,
                "PixelSpacing": [1, 1],
                "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
                "ImagePositionPatient": origin,
            },
        )
        for z, origin in enumerate(origins)
    ]


@given(
    n=st.integers(2, 30),
    gap=st.floats(0.3, 10),
    shift=st.floats(-0.9, 0.9),
    noise=st.floats(0, 3 * TOLERANCE),
    seed=st.integers(0, 99),
)
def test_what_is_accepted_lies_within_the_tolerance(
    n: int, gap: float, shift: float, noise: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    origins = np.arange(n)[:, None] * np.array([0, shift * gap, gap])
    origins = origins + noise * gap * rng.uniform(-0.5, 0.5, (n, 3))
    try:
        ordered = in_order(headers(origins), "series")
        affine = affine_of(ordered, "series")
    except InputError:
        assert noise > TOLERANCE / 4
        return
    for z, file in enumerate(ordered):
        placed = np.diag([-1, -1, 1, 1]) @ affine @ [0, 0, z, 1]
        off = np.linalg.norm(placed[:3] - file.numbers("ImagePositionPatient", 3))
        assert off < 2 * TOLERANCE * gap


@pytest.mark.parametrize("of", [pydicom.uid.MRImageStorage, pydicom.uid.UID("1.2.3")])
def test_slices_without_pixels_are_refused_whatever_their_class(series: Path, of: Any) -> None:
    def strip(z: int, slice_: Any) -> None:
        slice_.SOPClassUID = slice_.file_meta.MediaStorageSOPClassUID = of
        del slice_.PixelData

    change(series, strip)
    with pytest.raises(InputError, match="ends before its pixels"):
        read_scan(series)
