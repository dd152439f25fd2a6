from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gmrd.io.readers import read_scan
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


def test_the_patients_name_is_not_passed_on(tmp_path: Path) -> None:
    image, label = ball(1)
    file = nib.Nifti1Image(image.transpose(2, 1, 0), affine())
    file.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Doe^Jane"))
    nib.save(file, tmp_path / "scan.nii")
    out = read_scan(tmp_path / "scan.nii").save(tmp_path / "out.nii", label)
    assert b"Doe" in (tmp_path / "scan.nii").read_bytes()
    assert b"Doe" not in out.read_bytes()
