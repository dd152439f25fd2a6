"""Formats of a scan: all say the same, and what is hostile or damaged is refused."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gmrd.errors import InputError
from gmrd.io.readers import read_scan
from gmrd.predict.inputs import find_queries
from helpers.scans import affine, ball, write

pytest.importorskip("pydicom", reason="DICOM: install gmrd[dicom]")

from helpers.series import as_dicom

sitk = pytest.importorskip("SimpleITK", reason="other formats than NIfTI: install gmrd[dicom]")


@pytest.fixture
def nifti(tmp_path: Path) -> Path:
    return write(tmp_path / "scan.nii.gz", ball(1)[0].round(), affine())


def as_itk(nifti: Path, ending: str) -> Path:
    path = nifti.with_name(f"scan{ending}")
    sitk.WriteImage(sitk.ReadImage(str(nifti)), str(path))
    return path


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


MAKE: dict[str, Callable[[Path], Path]] = {
    "nrrd": lambda nifti: as_itk(nifti, ".nrrd"),
    "mha": lambda nifti: as_itk(nifti, ".mha"),
    "dicom": lambda nifti: as_dicom(nifti, nifti.parent / "series"),
    "zip": lambda nifti: zipped(nifti.parent / "a.zip", {"in/scan.nii.gz": nifti.read_bytes()}),
    "zip of dicom": lambda nifti: zipped(
        nifti.parent / "b.zip",
        {
            f"series/{file.name}": file.read_bytes()
            for file in as_dicom(nifti, nifti.parent / "series").iterdir()
        },
    ),
}


@pytest.mark.parametrize("kind", MAKE)
def test_every_format_says_the_same(nifti: Path, kind: str) -> None:
    expected, found = read_scan(nifti), read_scan(MAKE[kind](nifti))
    # DICOM slices are ordered along their normal, so the array may run the other way.
    image, matrix = found.image, found.affine
    if matrix[2, 2] * expected.affine[2, 2] < 0:
        image = image[::-1]
        matrix = matrix @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 11], [0, 0, 0, 1]])
    np.testing.assert_allclose(image, expected.image, atol=1e-3)
    np.testing.assert_allclose(matrix, expected.affine, atol=1e-4)


def test_a_real_ct_series(chaos_ct: Path) -> None:
    scan = read_scan(chaos_ct / "DICOM_anon")
    assert scan.image.shape == (78, 512, 512)
    np.testing.assert_allclose(scan.spacing, (2.0, 0.7265625, 0.7265625))
    assert nib.aff2axcodes(scan.affine) == ("L", "P", "S")
    assert scan.image.min() == -1000


@pytest.mark.parametrize("name", ["../evil.nii.gz", "/tmp/evil.nii.gz", "..\\evil.nii.gz", "C:/e"])
def test_an_archive_that_climbs_out_is_refused(nifti: Path, name: str) -> None:
    path = zipped(nifti.parent / "evil.zip", {name: nifti.read_bytes()})
    before = sorted(nifti.parent.rglob("*"))
    with pytest.raises(InputError, match="outside its folder"):
        read_scan(path)
    assert sorted(nifti.parent.rglob("*")) == before


def test_a_zip_bomb_is_refused(nifti: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(nifti.parent / "bomb.zip", {"scan.nii": bytes(4_000_000)})
    monkeypatch.setattr("gmrd.io.archive.MAX_BYTES", 1_000_000)
    with pytest.raises(InputError, match="would unpack to"):
        read_scan(path)


def test_two_series_in_a_folder_are_refused(nifti: Path) -> None:
    folder = as_dicom(nifti, nifti.parent / "series")
    other = as_dicom(nifti, nifti.parent / "other")
    shutil.copy(other / "00.dcm", folder / "stranger.dcm")
    with pytest.raises(InputError, match="2 DICOM series"):
        read_scan(folder)


def test_a_folder_is_scans_or_one_series(nifti: Path) -> None:
    support = nifti.with_name("a_support.nii.gz")
    shutil.copy(nifti, support)
    assert [q.path for q in find_queries(nifti.parent, exclude=[support])] == [nifti]
    series = as_dicom(nifti, nifti.parent / "series")
    assert [q.path for q in find_queries(series)] == [series]
    with pytest.raises(InputError, match="does not exist"):
        find_queries(nifti.parent / "absent")
    with pytest.raises(InputError, match="no scans besides supports"):
        find_queries(nifti.parent, exclude=[support, nifti, series])


def test_refusals_name_the_archive_and_leave_nothing_behind(
    nifti: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = nifti.parent / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    path = zipped(nifti.parent / "a.zip", {"in/scan.nii.gz": nifti.read_bytes()[:900]})
    with pytest.raises(InputError) as refused:
        read_scan(path)
    assert f"{path}/in/scan.nii.gz" in str(refused.value)
    assert str(folder) not in str(refused.value)
    assert list(folder.iterdir()) == []
