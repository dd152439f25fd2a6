"""Formats of a scan: all say the same, and what is hostile or damaged is refused."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import struct
import warnings
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

sitk = pytest.importorskip("SimpleITK", reason="other formats than NIfTI: install gmrd[dicom]")
pydicom = pytest.importorskip("pydicom", reason="DICOM: install gmrd[dicom]")


@pytest.fixture
def nifti(tmp_path: Path) -> Path:
    return write(tmp_path / "scan.nii.gz", ball(1)[0].round(), affine())


def as_itk(nifti: Path, ending: str) -> Path:
    path = nifti.with_name(f"scan{ending}")
    sitk.WriteImage(sitk.ReadImage(str(nifti)), str(path))
    return path


def as_dicom(nifti: Path, folder: Path) -> Path:
    """The scan as a series of plain CT slices whose file names hide their order."""
    scan = read_scan(nifti)
    study, uid, frame = (pydicom.uid.generate_uid() for _ in range(3))
    lps = np.diag([-1, -1, 1, 1]) @ scan.affine
    folder.mkdir()
    for z, pixels in enumerate(scan.image):
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        slice_ = pydicom.Dataset()
        slice_.file_meta = meta
        slice_.SOPClassUID = meta.MediaStorageSOPClassUID
        slice_.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID = study, uid
        slice_.FrameOfReferenceUID, slice_.Modality = frame, "CT"
        slice_.Rows, slice_.Columns = pixels.shape
        slice_.PixelSpacing = [scan.spacing[1], scan.spacing[2]]
        directions = [lps[:3, 0] / scan.spacing[2], lps[:3, 1] / scan.spacing[1]]
        slice_.ImageOrientationPatient = np.concatenate(directions).round(6).tolist()
        slice_.ImagePositionPatient = (lps @ [0, 0, z, 1])[:3].round(6).tolist()
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.BitsAllocated = slice_.BitsStored = 16
        slice_.HighBit, slice_.PixelRepresentation = 15, 1
        slice_.RescaleSlope, slice_.RescaleIntercept = 1, -1000
        slice_.PixelData = (pixels + 1000).astype("<i2").tobytes()
        slice_.save_as(folder / f"{(z * 7) % 12:02d}.dcm", enforce_file_format=True)
    return folder


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


def test_a_series_with_a_gap_or_a_stranger_is_refused(nifti: Path) -> None:
    folder = as_dicom(nifti, nifti.parent / "series")
    (folder / "notes.txt").write_text("not a slice")
    assert read_scan(folder).image.shape == (12, 40, 44)
    other = as_dicom(nifti, nifti.parent / "other")
    shutil.copy(other / "00.dcm", folder / "stranger.dcm")
    with pytest.raises(InputError, match="2 DICOM series"):
        read_scan(folder)
    (folder / "stranger.dcm").unlink()
    (folder / "02.dcm").unlink()
    with pytest.raises(InputError, match="slice is missing"):
        read_scan(folder)
    with pytest.raises(InputError, match="single DICOM file"):
        read_scan(folder / "00.dcm")


def test_a_link_out_of_a_series_is_refused(nifti: Path) -> None:
    folder = as_dicom(nifti, nifti.parent / "series")
    outside = nifti.parent / "outside.dcm"
    shutil.move(folder / "03.dcm", outside)
    (folder / "03.dcm").symlink_to(outside)
    with pytest.raises(InputError, match="link out of"):
        read_scan(folder)


@pytest.mark.parametrize("name", ["../evil.nii.gz", "/tmp/evil.nii.gz", "..\\evil.nii.gz", "C:/e"])
def test_an_archive_that_climbs_out_is_refused(nifti: Path, name: str) -> None:
    path = zipped(nifti.parent / "evil.zip", {name: nifti.read_bytes()})
    before = sorted(nifti.parent.rglob("*"))
    with pytest.raises(InputError, match="outside its folder"):
        read_scan(path)
    assert sorted(nifti.parent.rglob("*")) == before


def test_an_archive_with_a_link_is_refused(nifti: Path) -> None:
    link = zipfile.ZipInfo("scan.nii.gz")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(nifti.parent / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="holds the link"):
        read_scan(nifti.parent / "link.zip")


def test_a_zip_bomb_is_refused(nifti: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(nifti.parent / "bomb.zip", {"scan.nii": bytes(4_000_000)})
    monkeypatch.setattr("gmrd.io.archive.MAX_BYTES", 1_000_000)
    with pytest.raises(InputError, match="would unpack to"):
        read_scan(path)


def test_an_archive_in_an_archive_is_refused(nifti: Path) -> None:
    inner = zipped(nifti.parent / "inner.zip", {"scan.nii.gz": nifti.read_bytes()})
    path = zipped(nifti.parent / "outer.zip", {"scan.nii.gz": inner.read_bytes()})
    with pytest.raises(InputError, match="not what its name says"):
        read_scan(path)


@pytest.mark.parametrize(
    "names", [["."], ["a", "a"], ["a", "a/b"], ["a/b", "a"], ["a/" + "n" * 300], ["./"]]
)
def test_an_archive_of_strange_names_is_refused(tmp_path: Path, names: list[str]) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name in names:
            archive.writestr(name, b"content")
    with pytest.raises(InputError, match=r"a\.zip"):
        read_scan(tmp_path / "a.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_archive_is_refused(nifti: Path, method: int) -> None:
    path = nifti.parent / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("scan.nii", gzip.decompress(nifti.read_bytes()))
    data = bytearray(path.read_bytes())
    for offset in range(60, len(data) - 120, max(1, (len(data) - 180) // 12)):
        path.write_bytes(data[:offset] + bytes([data[offset] ^ 0xFF]) + data[offset + 1 :])
        with pytest.raises(InputError, match=r"a\.zip"):
            read_scan(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scan.nii")
    with pytest.raises(InputError, match="no regular file"):
        read_scan(tmp_path / "scan.nii")


def test_a_flipped_bit_is_noticed_by_the_checksum(nifti: Path) -> None:
    data = bytearray(nifti.read_bytes())
    data[-8] ^= 1
    nifti.write_bytes(data)
    with pytest.raises(InputError, match="cannot be decompressed"):
        read_scan(nifti)


def test_a_bomb_is_unpacked_no_further_than_its_header(nifti: Path) -> None:
    nifti.write_bytes(gzip.compress(header_of(nifti) + bytes(50_000_000)))
    with pytest.raises(InputError, match="after the voxels"):
        read_scan(nifti)


def header_of(nifti: Path) -> bytearray:
    return bytearray(gzip.decompress(nifti.read_bytes()))


HOSTILE = {
    "magic bytes of something else": (b"\x7fELF" + bytes(600), "no image that can be read"),
    "empty": (b"", "no image that can be read"),
    "gzip of nothing": (gzip.compress(b""), "no image that can be read"),
    "torn gzip": (gzip.compress(bytes(4000))[:20], "cannot be decompressed"),
    "nrrd elsewhere": (
        b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\ndata file: /etc/passwd\n\n",
        "not followed",
    ),
    "nrrd huge": (
        b"NRRD0004\ntype: short\ndimension: 3\nsizes: 99999 99999 99999\nencoding: raw\n\n",
        "header claims 999",
    ),
    "nrrd endless": (b"NRRD0004\n" + b"#" * 70_000, "header does not end"),
    "mha of 300 dimensions": (
        b"ObjectType = Image\nNDims = 300\nDimSize = "
        + b"1 " * 200
        + b"\nElementDataFile = LOCAL\n",
        "expected three dimensions",
    ),
    "mha of an unknown type": (
        b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_X\n"
        b"ElementDataFile = LOCAL\n",
        "type 'MET_X'",
    ),
    "mha of NaN spacing": (
        b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_CHAR\n"
        b"ElementSpacing = 1 nan 1\nElementDataFile = LOCAL\n",
        "elementspacing",
    ),
    "mha twice": (
        b"ObjectType = Image\nNDims = 3\nNDims = 300\nElementDataFile = LOCAL\n",
        "there twice",
    ),
    "mha cut off": (
        b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\n"
        b"ElementDataFile = LOCAL\n" + bytes(60),
        "more than the file can hold",
    ),
    "nrrd of 300 dimensions": (
        b"NRRD0004\ntype: short\ndimension: 300\nsizes: 4 4 4\nencoding: raw\n\n",
        "expected three dimensions",
    ),
    "nrrd cut off": (
        b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n\n" + bytes(60),
        "more than the file can hold",
    ),
    "mha elsewhere": (
        b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementDataFile = ../../secret.raw\n",
        "not followed",
    ),
    "mha huge": (
        b"ObjectType = Image\nNDims = 3\nDimSize = 99999 99999 99999\nElementDataFile = LOCAL\n",
        "header claims 999",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, kind: str) -> None:
    content, message = HOSTILE[kind]
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_scan(path)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (42, struct.pack("<3h", 32767, 32767, 32767), "more than the"),
        (42, struct.pack("<3h", -5, 40, 12), "damaged"),
        (42, struct.pack("<3h", 440, 400, 120), "more than the file can hold"),
        (40, struct.pack("<h", 99), "99 dimensions"),
        (70, struct.pack("<h", 128), "no plain numbers"),
        (108, struct.pack("<f", 1e12), "more than the file can hold"),
        (108, struct.pack("<f", float("nan")), "more than the file can hold"),
        (344, b"ni1\0", "single-file"),
        (344, b"XXXX", "single-file"),
    ],
)
def test_a_nifti_header_that_lies_is_refused(
    nifti: Path, offset: int, value: bytes, message: str
) -> None:
    data = header_of(nifti)
    data[offset : offset + len(value)] = value
    path = nifti.with_name("lie.nii")
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_scan(path)


def test_a_folder_is_scans_or_one_series(nifti: Path) -> None:
    support = nifti.with_name("a_support.nii.gz")
    shutil.copy(nifti, support)
    assert [q.path for q in find_queries(nifti.parent, exclude=[support])] == [nifti]
    series = as_dicom(nifti, nifti.parent / "series")
    assert [q.path for q in find_queries(series)] == [series]
    with pytest.raises(InputError, match="no such file"):
        find_queries(nifti.parent / "absent")
    with pytest.raises(InputError, match="no scan beside supports"):
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
