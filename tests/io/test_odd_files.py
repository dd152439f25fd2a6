"""Odd files are refused in words or read right; nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from gmrd.data.prepare.dicom import read_series
from gmrd.errors import InputError
from gmrd.io.digest import digest
from gmrd.io.formats import is_folder
from gmrd.io.readers import read_scan
from helpers.scans import affine

pytest.importorskip("pydicom", reason="DICOM: install gmrd[dicom]")
pytest.importorskip("SimpleITK", reason="DICOM: install gmrd[dicom]")

from helpers.odd_files import Odd, odd_files, voxels


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("odd", odd_files(), ids=str)
def test_it_is_refused_or_right(odd: Odd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    path = odd.make(tmp_path)
    if odd.says is None:
        _is_right(odd, path)
    else:
        for read in (read_scan, read_series) if is_folder(path) else (read_scan,):
            with pytest.raises(InputError, match=odd.says) as refused:
                read(path)
            assert str(path)[:200] in str(refused.value)
            assert str(temporary) not in str(refused.value)
    assert not list(temporary.iterdir())


def _is_right(odd: Odd, path: Path) -> None:
    scan = read_scan(path)
    image, matrix = scan.image, scan.affine
    if matrix[2, 2] < 0:  # DICOM slices are ordered along their normal
        image = image[::-1]
        matrix = matrix @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 11], [0, 0, 0, 1]])
    assert np.abs(image - voxels()).max() <= (1 if "slopes" in odd.name else 1e-3)
    np.testing.assert_allclose(scan.spacing, odd.spacing, rtol=1e-5)
    if odd.spacing == (5.0, 2.0, 2.0):
        np.testing.assert_allclose(matrix, affine(), atol=1e-4)


@pytest.mark.timeout(60)
def test_what_has_no_end_has_no_digest(tmp_path: Path) -> None:
    """A batch asks for the content's digest before it reads."""
    os.mkfifo(tmp_path / "pipe.nii")
    for place in (tmp_path / "pipe.nii", Path("/dev/zero")):
        with pytest.raises(InputError, match="not a regular file"):
            digest(place)
