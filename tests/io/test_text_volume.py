"""NRRD and MetaImage say what ITK reads in them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmrd.io.affine import LPS_TO_RAS
from gmrd.io.readers import read_scan

pytest.importorskip("pydicom", reason="files to compare: install gmrd[dicom]")

from helpers.odd_files import mha, nrrd, voxels

sitk = pytest.importorskip("SimpleITK", reason="the other reader: install gmrd[dicom]")

TYPES = (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64)


def agrees(path: Path) -> bool:
    theirs, ours = sitk.ReadImage(str(path)), read_scan(path, dtype=np.float64)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(theirs.GetDirection(), (3, 3)) * theirs.GetSpacing()
    affine[:3, 3] = theirs.GetOrigin()
    np.testing.assert_allclose(ours.affine, LPS_TO_RAS @ affine, atol=1e-6)
    np.testing.assert_array_equal(ours.image, sitk.GetArrayFromImage(theirs))
    return True


@given(
    seed=st.integers(0, 999),
    kind=st.sampled_from(TYPES),
    ending=st.sampled_from(["mha", "nrrd"]),
    packed=st.booleans(),
)
def test_what_itk_writes_is_read_alike(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: type, ending: str, packed: bool
) -> None:
    rng = np.random.default_rng(seed)
    image = sitk.GetImageFromArray(rng.uniform(0, 100, rng.integers(1, 7, 3)).astype(kind))
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    image.SetDirection(axes.ravel())
    image.SetSpacing(rng.uniform(0.1, 9, 3))
    image.SetOrigin(rng.uniform(-300, 300, 3))
    path = tmp_path_factory.getbasetemp() / f"by_itk.{ending}"
    sitk.WriteImage(image, str(path), packed)
    assert agrees(path)


BIG = voxels().astype(">i2").tobytes()

VARIANTS = {
    "nrrd RAS": nrrd({"space": "right-anterior-superior"}),
    "nrrd LAS": nrrd({"space": "LAS"}),
    "nrrd spacings": nrrd({"space": None, "space directions": None, "space origin": None,
                           "space dimension": None, "spacings": "2 2 5"}),
    "nrrd big endian": nrrd({"endian": "big"}, BIG),
    "mha big endian": mha({"BinaryDataByteOrderMSB": "True"}, BIG),
    "mha oblique": mha({"TransformMatrix": "0.8 0.6 0 -0.6 0.8 0 0 0 1"}),
    "mha by other names": mha({"TransformMatrix": None, "Offset": None, "Origin": "1 2 3",
                               "Rotation": "0 1 0 1 0 0 0 0 1"}),
    "mha without a direction": mha({"TransformMatrix": None, "Offset": None}),
}  # fmt: skip


@pytest.mark.parametrize("kind", VARIANTS)
def test_headers_mean_what_they_mean_to_itk(tmp_path: Path, kind: str) -> None:
    if kind == "nrrd LAS" and _version(sitk.Version.VersionString()) < (2, 5, 4):
        pytest.skip("this ITK takes LAS for another space")
    path = tmp_path / f"scan.{kind.split()[0]}"
    path.write_bytes(VARIANTS[kind])
    assert agrees(path)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])
