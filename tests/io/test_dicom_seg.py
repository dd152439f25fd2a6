"""DICOM segmentations: they say what the NIfTI label map says, where the series says it lies."""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gmrd.errors import InputError
from gmrd.io.dicom_seg import check_writable, write_segmentation
from gmrd.io.readers import read_scan
from gmrd.io.scan import Scan
from helpers.scans import affine, ball, write

pydicom = pytest.importorskip("pydicom", reason="DICOM: install gmrd[dicom-seg]")
hd = pytest.importorskip("highdicom", reason="DICOM segmentations: install gmrd[dicom-seg]")
pytest.importorskip("SimpleITK", reason="DICOM: install gmrd[dicom-seg]")

from helpers.series import as_dicom  # noqa: E402

NAMES = {600: "right_kidney", 3: "unheard of"}


@pytest.fixture
def series(tmp_path: Path) -> Scan:
    nifti = write(tmp_path / "scan.nii.gz", ball(1)[0].round(), affine())
    return read_scan(as_dicom(nifti, tmp_path / "series"))


@pytest.fixture
def labels() -> np.ndarray:
    """Two organs that no reversal of an axis maps to themselves; the ends are empty."""
    found = ball(1)[1].astype(np.uint16) * 600
    found[7:9, 30:35, 5:9] = 3
    return found


def test_it_says_what_the_label_map_says(series: Scan, labels: np.ndarray, tmp_path: Path) -> None:
    path = write_segmentation(tmp_path / "seg.dcm", series, labels, NAMES)
    series.save(tmp_path / "seg.nii.gz", labels)
    seg = hd.seg.segread(path)
    volume = seg.get_volume(combine_segments=True, allow_missing_positions=True)
    # Voxel by voxel in the patient: highdicom's world runs left and posterior.
    expected = nib.load(tmp_path / "seg.nii.gz")
    codes = np.asarray(expected.dataobj)
    assert set(np.unique(volume.array)) == {0, 1, 2}
    for number, value in enumerate(NAMES, start=1):
        found = _world(volume.affine, np.argwhere(volume.array == number), flip=True)
        truth = _world(expected.affine, np.argwhere(codes == value), flip=False)
        np.testing.assert_allclose(found, truth, atol=1e-3)


def _world(matrix: np.ndarray, voxels: np.ndarray, *, flip: bool) -> np.ndarray:
    """Sorted positions in nibabel's world."""
    points = voxels @ matrix[:3, :3].T + matrix[:3, 3]
    points = points * [-1, -1, 1] if flip else points
    return points[np.lexsort(points.round(2).T)]


def test_it_refers_to_the_source_series(series: Scan, labels: np.ndarray, tmp_path: Path) -> None:
    """Read with pydicom alone: every frame names the slice that it lies on, and lies there."""
    seg = pydicom.dcmread(write_segmentation(tmp_path / "seg.dcm", series, labels, NAMES))
    assert seg.SOPClassUID == pydicom.uid.SegmentationStorage
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == series.slices[0].SeriesInstanceUID
    assert seg.FrameOfReferenceUID == series.slices[0].FrameOfReferenceUID
    assert seg.StudyInstanceUID == series.slices[0].StudyInstanceUID
    assert [s.SegmentLabel for s in seg.SegmentSequence] == list(NAMES.values())
    assert seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Kidney"
    height = {header.SOPInstanceUID: z for z, header in enumerate(series.slices)}
    frames = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    frames = frames[: seg.NumberOfFrames * seg.Rows * seg.Columns]
    read = np.zeros_like(labels)
    for mask, about in zip(
        frames.reshape(-1, seg.Rows, seg.Columns),
        seg.PerFrameFunctionalGroupsSequence,
        strict=True,
    ):
        source = about.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        z = height[source]
        number = about.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        assert (
            about.PlanePositionSequence[0].ImagePositionPatient
            == series.slices[z].ImagePositionPatient
        )
        read[z][mask == 1] = list(NAMES)[number - 1]
    np.testing.assert_array_equal(read, labels)


def test_nothing_found_can_be_written(series: Scan, labels: np.ndarray, tmp_path: Path) -> None:
    path = write_segmentation(tmp_path / "seg.dcm", series, np.zeros_like(labels), NAMES)
    assert not hd.seg.segread(path).pixel_array.any()


def test_other_scans_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = read_scan(write(tmp_path / "scan.nii.gz", ball(1)[0], affine()))
    with pytest.raises(InputError, match=r"scan\.nii\.gz is not a DICOM series.*format=nifti"):
        check_writable(scan)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(InputError, match=r"pip install 'gmrd\[dicom-seg\]'"):
        check_writable(Scan("b", ball(1)[0], affine(), slices=()))


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID"])
@pytest.mark.parametrize("how", ["blank", "missing"])
def test_a_series_without_identifiers_is_refused(
    series: Scan, labels: np.ndarray, keyword: str, how: str
) -> None:
    delattr(series.slices[0], keyword)
    if how == "blank":
        setattr(series.slices[0], keyword, "")
    with pytest.raises(InputError, match=f"referenced, because {keyword} is missing or blank"):
        write_segmentation(Path("seg.dcm"), series, labels, NAMES)


def test_an_anonymised_series_can_be_referred_to(
    series: Scan, labels: np.ndarray, tmp_path: Path
) -> None:
    """Blank or missing classes come from the file's head, or from the modality; and back."""
    for number, header in enumerate(series.slices):
        header.SOPClassUID = ""
        if number % 3 == 0:
            del header.SOPClassUID, header.file_meta.MediaStorageSOPClassUID
        header.Modality = "CT" if number % 3 == 0 else ""
    seg = pydicom.dcmread(write_segmentation(tmp_path / "seg.dcm", series, labels, NAMES))
    referred = {
        item.ReferencedSOPClassUID
        for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referred == {pydicom.uid.CTImageStorage}
