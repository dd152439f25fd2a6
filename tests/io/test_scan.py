from __future__ import annotations

import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gmrd.errors import InputError
from gmrd.io.readers import read_geometry, read_scan
from helpers.scans import affine, ball

PLACE = ["qform_code", "sform_code", "pixdim", "srow_x", "srow_y", "srow_z", "xyzt_units"]
PLACE += ["quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "dim"]


def oblique() -> np.ndarray:
    matrix = nib.affines.from_matvec(
        nib.eulerangles.euler2mat(0.2, -0.1, 0.3) @ affine()[:3, :3], affine()[:3, 3]
    )
    return np.asarray(matrix)


@pytest.mark.parametrize("codes", [(1, 1), (0, 2), (2, 0), (1, 4)])
@pytest.mark.parametrize("trailing", [False, True])
@pytest.mark.parametrize("container", [nib.Nifti1Image, nib.Nifti2Image])
def test_what_is_written_lies_exactly_where_the_scan_lies(
    tmp_path: Path, codes: tuple[int, int], trailing: bool, container: type
) -> None:
    image, label = ball(1)
    stored = image.transpose(2, 1, 0)
    file = container(stored[..., None] if trailing else stored, oblique())
    file.set_qform(oblique(), code=codes[0])
    file.set_sform(oblique(), code=codes[1])
    file.header.set_xyzt_units("mm", "sec")
    file.header["scl_slope"], file.header["scl_inter"] = 1, 0
    nib.save(file, tmp_path / "scan.nii.gz")

    scan = read_scan(tmp_path / "scan.nii.gz")
    written = nib.load(scan.save(tmp_path / "out.nii.gz", label))
    original = nib.load(tmp_path / "scan.nii.gz")
    assert written.shape == original.shape
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(written.affine, original.affine)
    for name in PLACE:
        np.testing.assert_array_equal(written.header[name], original.header[name], err_msg=name)
    np.testing.assert_array_equal(np.asarray(written.dataobj).reshape(stored.shape).T, label)


def test_the_geometry_is_read_from_the_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    noise = np.random.default_rng(0).standard_normal((40, 30, 20))  # does not compress
    nib.save(nib.Nifti1Image(noise, oblique()), path)
    whole = read_scan(path).geometry
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2] ^= 0xFF  # within the voxels
    path.write_bytes(stored)
    with pytest.raises(InputError):
        read_scan(path)
    found = read_geometry(path)
    np.testing.assert_array_equal(found.affine, whole.affine)
    assert (found.spacing, found.shape) == (whole.spacing, whole.shape)
    assert found.shape == (20, 30, 40)


def test_the_patients_name_is_not_passed_on(tmp_path: Path) -> None:
    image, label = ball(1)
    file = nib.Nifti1Image(image.transpose(2, 1, 0), affine())
    file.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Doe^Jane"))
    nib.save(file, tmp_path / "scan.nii")
    out = read_scan(tmp_path / "scan.nii").save(tmp_path / "out.nii", label)
    assert b"Doe" in (tmp_path / "scan.nii").read_bytes()
    assert b"Doe" not in out.read_bytes()


def test_free_text_is_not_copied_and_the_extension_is_checked(tmp_path: Path) -> None:
    image, label = ball(1)
    file = nib.Nifti1Image(image.transpose(2, 1, 0), affine())
    for field in ("descrip", "db_name", "aux_file", "intent_name"):
        file.header[field] = b"Doe^Jane"
    nib.save(file, tmp_path / "scan.nii")
    scan = read_scan(tmp_path / "scan.nii")
    assert b"Doe" not in scan.save(tmp_path / "out.nii", label).read_bytes()
    with pytest.raises(InputError, match=r"end in \.nii"):
        scan.save(tmp_path / "out", label)
    assert not (tmp_path / "out").exists()


def test_the_sform_counts_whatever_pixdim_says(tmp_path: Path) -> None:
    image, _ = ball(1)
    file = nib.Nifti1Image(image.transpose(2, 1, 0), np.diag([3.0, 3.0, 3.0, 1.0]))
    file.set_sform(np.diag([3.0, 3.0, 3.0, 1.0]), code=1)
    file.set_qform(None, code=0)
    file.header["pixdim"][1:4] = 1
    nib.save(file, tmp_path / "scan.nii")
    assert nib.load(tmp_path / "scan.nii").header["pixdim"][1] == 1
    scan = read_scan(tmp_path / "scan.nii")
    np.testing.assert_array_equal(scan.affine, nib.load(tmp_path / "scan.nii").affine)
    assert scan.spacing == (3.0, 3.0, 3.0)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_an_sform_that_places_nothing_is_refused(tmp_path: Path, value: float) -> None:
    image, _ = ball(1)
    file = nib.Nifti1Image(image.transpose(2, 1, 0), affine())
    file.set_qform(affine(), code=1)
    file.set_sform(affine(), code=1)
    nib.save(file, tmp_path / "scan.nii")
    data = bytearray((tmp_path / "scan.nii").read_bytes())
    data[280:296] = struct.pack("<4f", *[value] * 4)  # srow_x
    (tmp_path / "scan.nii").write_bytes(data)
    with pytest.raises(InputError, match="singular or not finite"):
        read_scan(tmp_path / "scan.nii")


@pytest.mark.parametrize(("unit", "mm"), [("meter", 1000.0), ("micron", 0.001), ("mm", 1.0)])
def test_the_unit_of_the_header_counts(tmp_path: Path, unit: str, mm: float) -> None:
    image, label = ball(1)
    file = nib.Nifti1Image(
        image.transpose(2, 1, 0), np.diag([1 / mm, 1 / mm, 1 / mm, 1]) @ affine()
    )
    file.header.set_xyzt_units(unit)
    nib.save(file, tmp_path / "scan.nii")
    scan = read_scan(tmp_path / "scan.nii")
    np.testing.assert_allclose(scan.affine, affine(), rtol=1e-5)
    written = nib.load(scan.save(tmp_path / "out.nii", label))
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "scan.nii").affine)
