"""Preparation: DICOM order, mask order, and the published steps."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gmrd.data.phantom import make_phantom_volume
from gmrd.data.prepare.dicom import read_series
from gmrd.data.prepare.settings import Preparation
from gmrd.data.prepare.sources import RawCase, class_ids, read_case
from gmrd.data.prepare.steps import prepare_volume
from gmrd.data.volume import load_volume
from gmrd.errors import InputError
from gmrd.io.nifti_writer import write_nifti
from gmrd.io.scan import Scan
from helpers.published_steps import resampled_size
from helpers.raw_data import MR_VALUES, write_dicom_series, write_masks
from helpers.scans import read

CHAOS_MR = Preparation(
    images="MR/{case}/T2SPIR/DICOM_anon",
    labels="MR/{case}/T2SPIR/Ground",
    label_ranges={1: [55, 70], 2: [110, 135], 3: [175, 200], 4: [240, 255]},
    orientation="LAS",
    clip_percentile=99.5,
    spacing=[1.25, 1.25, 7.7],
    size=256,
)
SPACING = (9.0, 1.6, 1.6)


@pytest.fixture(scope="module")
def raw() -> tuple[np.ndarray, np.ndarray]:
    """Phantom pixels and labels as a scanner gives them: whole numbers, 160×160."""
    volume = make_phantom_volume(5, size=160, n_slices=16)
    return np.rint(volume.image).astype(np.uint16), volume.label


@pytest.mark.parametrize("head_first", [False, True])
@pytest.mark.parametrize("stem", ["IMG-0004-", "liver_GT_"])
def test_masks_follow_the_files_and_slices_the_patient(
    tmp_path: Path, raw: tuple[np.ndarray, np.ndarray], head_first: bool, stem: str
) -> None:
    image, label = raw
    write_dicom_series(tmp_path / "dicom", image, spacing=SPACING, head_first=head_first)
    write_masks(tmp_path / "masks", label, stem=stem, head_first=head_first)
    case = read_case(tmp_path / "dicom", tmp_path / "masks", CHAOS_MR)
    assert case.label is not None
    np.testing.assert_array_equal(case.scan.image, image)
    np.testing.assert_array_equal(case.label, label)
    np.testing.assert_allclose(np.diag(case.scan.affine), [-1.6, -1.6, 9.0, 1.0])
    if head_first:
        with pytest.raises(InputError, match="mask_order"):
            read_case(
                tmp_path / "dicom", tmp_path / "masks", replace(CHAOS_MR, mask_order="position")
            )


def test_series_is_chosen_by_tags(tmp_path: Path, raw: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = raw
    write_dicom_series(tmp_path, image, spacing=SPACING, description="T2")
    write_dicom_series(tmp_path / "other", image[::2], spacing=SPACING, description="T1")
    for path in (tmp_path / "other").iterdir():
        shutil.move(path, tmp_path / f"a-{path.name}")
    (tmp_path / "other").rmdir()
    (tmp_path / "notes.txt").write_text("not DICOM")
    with pytest.raises(InputError, match=r"2 DICOM series.*'T1'.*'T2'|2 DICOM series.*'T2'.*'T1'"):
        read_series(tmp_path)
    series = read_series(tmp_path, {"SeriesDescription": "T2"})
    np.testing.assert_array_equal(series.image, image)
    with pytest.raises(InputError, match="no DICOM series"):
        read_series(tmp_path, {"SeriesDescription": "DWI"})


def test_missing_slice_is_refused(tmp_path: Path, raw: tuple[np.ndarray, np.ndarray]) -> None:
    write_dicom_series(tmp_path, raw[0], spacing=SPACING)
    (tmp_path / "IMG-0004-00007.dcm").unlink()
    with pytest.raises(InputError, match=r"between slices 5 and 6 is 18\.00 mm"):
        read_series(tmp_path)


def test_mask_missing_or_of_unknown_value_is_refused(
    tmp_path: Path, raw: tuple[np.ndarray, np.ndarray]
) -> None:
    image, label = raw
    write_dicom_series(tmp_path / "dicom", image, spacing=SPACING)
    write_masks(tmp_path / "masks", label, stem="mask")
    with pytest.raises(InputError, match="label_ranges"):
        read_case(
            tmp_path / "dicom", tmp_path / "masks", replace(CHAOS_MR, label_ranges={1: [55, 70]})
        )
    (tmp_path / "masks" / "mask00003.png").unlink()
    with pytest.raises(InputError, match="15 PNG masks for 16 slices"):
        read_case(tmp_path / "dicom", tmp_path / "masks", CHAOS_MR)


def test_an_absent_organ_does_not_shift_the_others() -> None:
    values = np.array([[[0, MR_VALUES[1], MR_VALUES[4]]]])
    assert class_ids(Path("x"), values, CHAOS_MR.label_ranges).tolist() == [[[0, 1, 4]]]


RAW_SIZES = {
    "1": ((256, 256, 36), (1.54296875, 1.54296875, 7.700004577636719)),
    "10": ((256, 256, 36), (1.69921875, 1.69921875, 7.6999969482421875)),
    "13": ((320, 320, 30), (1.359375, 1.359375, 9.0)),
    "21": ((256, 256, 31), (1.66015625, 1.66015625, 7.999995231628418)),
    "32": ((256, 256, 39), (1.81640625, 1.81640625, 9.0)),
}
"""Size and spacing of raw CHAOS volumes, as the log of the public preprocessing has them."""


@pytest.mark.parametrize("case", RAW_SIZES)
def test_resampled_size_is_that_of_the_real_prepared_volume(chaost2: Path, case: str) -> None:
    size, spacing = RAW_SIZES[case]
    image, _ = read(chaost2 / "chaos_MR_T2_normalized" / f"image_{case}.nii.gz")
    assert resampled_size(size, spacing, (1.25, 1.25, 7.7))[2] == len(image)
    raw = RawCase(Scan(case, np.zeros(size[::-1], np.float32), np.diag([*spacing, 1.0])), None)
    assert prepare_volume(case, raw, CHAOS_MR).image.shape == image.shape


def test_ct_window_border_and_spacing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.uniform(-1000, 1500, (3, 512, 512))
    label = np.zeros(image.shape, dtype=np.uint8)
    label[:, 200:300, 200:300] = 6
    affine = np.diag([-0.7, 0.7, 3.0, 1.0])
    settings = Preparation(
        images="", window=[-125, 275], border=32, spacing_factor=[1.75, 1.75, 1], size=256
    )
    volume = prepare_volume("1", RawCase(Scan("1", image, affine), label), settings)
    assert volume.image.shape == (3, 256, 256)
    assert volume.image.min() == 0
    assert volume.image.max() == 255
    assert volume.spacing == pytest.approx((3.0, 1.225, 1.225))
    # The first voxel is the one 32 pixels from the border, at its place in the patient.
    expected = np.clip((image[:, 32, 32] + 125) / 400 * 255, 0, 255)
    np.testing.assert_allclose(volume.image[:, 0, 0], expected, atol=1e-3)
    np.testing.assert_allclose(volume.affine[:3, 3], [-0.7 * 32, 0.7 * 32, 0])
    assert volume.label is not None
    assert abs(int((volume.label == 6).sum()) - 30_000 / 1.75**2) < 0.02 * 30_000 / 1.75**2


def test_chaos_ct_series(chaos_ct: Path) -> None:
    settings = Preparation(images="", labels="", label_ranges={1: [1, 255]}, orientation="LAS")
    case = read_case(chaos_ct / "DICOM_anon", chaos_ct / "Ground", settings)
    assert case.label is not None
    liver = case.scan.image[case.label == 1]
    assert round(float(liver.mean())) == 141
    assert round(float(liver.std())) == 34
    np.testing.assert_allclose(np.abs(np.diag(case.scan.affine)), [0.7265625, 0.7265625, 2.0, 1.0])
    with pytest.raises(InputError, match="mask_order"):
        read_case(
            chaos_ct / "DICOM_anon", chaos_ct / "Ground", replace(settings, mask_order="position")
        )


def test_a_label_elsewhere_is_refused_unless_told_otherwise(tmp_path: Path) -> None:
    paths = [tmp_path / f"{kind}.nii.gz" for kind in ("image", "label")]
    volume = make_phantom_volume(1, size=32, n_slices=4)
    write_nifti(paths[0], volume.image, np.diag([2.0, 2.0, 5.0, 1.0]))
    write_nifti(paths[1], volume.label, np.diag([-2.0, 2.0, 5.0, 1.0]))
    settings = Preparation(images="", labels="")
    with pytest.raises(InputError, match=r"may be mirrored.*data\.check_geometry=false"):
        read_case(*paths, settings)
    case = read_case(*paths, replace(settings, check_geometry=False))
    np.testing.assert_array_equal(case.label, volume.label)


def test_odd_257_files_lose_the_last_row_and_column(tmp_path: Path) -> None:
    from gmrd.data.cases import Case

    rng = np.random.default_rng(0)
    image = rng.random((2, 257, 257)).astype(np.float32)
    write_nifti(tmp_path / "image.nii.gz", image, np.eye(4))
    write_nifti(tmp_path / "label.nii.gz", (image > 0.5).astype(np.uint8), np.eye(4))
    case = Case("1", tmp_path / "image.nii.gz", tmp_path / "label.nii.gz", tmp_path / "none")
    volume = load_volume(case, intensity="raw")
    np.testing.assert_array_equal(volume.image, image[:, :256, :256])
    assert volume.label is not None
    np.testing.assert_array_equal(volume.label, image[:, :256, :256] > 0.5)
