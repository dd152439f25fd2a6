"""RT structure sets: outlines filled again are the label map, where the series says it lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from gmrd.errors import InputError
from gmrd.io.readers import read_scan
from gmrd.io.rtstruct import write_rtstruct
from gmrd.io.scan import Scan
from helpers.scans import affine, ball, write

pydicom = pytest.importorskip("pydicom", reason="DICOM: install gmrd[dicom]")
pytest.importorskip("SimpleITK", reason="DICOM: install gmrd[dicom]")

from helpers.series import as_dicom  # noqa: E402

NAMES = {600: "kidney", 3: "ring"}
COLOURS = {600: (1.0, 0.5, 0.0), 3: (0.0, 0.0, 1.0)}


@pytest.fixture
def series(tmp_path: Path) -> Scan:
    nifti = write(tmp_path / "scan.nii.gz", ball(1)[0].round(), affine())
    return read_scan(as_dicom(nifti, tmp_path / "series"))


def filled(stored: object, number: int, series: Scan) -> np.ndarray:
    """A structure's voxels, by even and odd crossings, from the file alone."""
    height = {header.SOPInstanceUID: z for z, header in enumerate(series.slices)}
    to_voxels = np.linalg.inv(np.diag([-1, -1, 1, 1]) @ series.affine)
    mask = np.zeros(series.image.shape, dtype=bool)
    rows, columns = np.indices(mask.shape[1:])
    for contour in stored.ROIContourSequence[number].ContourSequence:
        points = np.reshape([float(v) for v in contour.ContourData], (-1, 3))
        assert contour.NumberOfContourPoints == len(points)
        x, y, z = (to_voxels @ np.vstack([points.T, np.ones(len(points))]))[:3]
        named = height[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        assert np.allclose(z, named, atol=1e-3)
        inside = Outline(np.stack([x, y], axis=1)).contains_points(
            np.stack([columns.ravel(), rows.ravel()], axis=1)
        )
        mask[named] ^= inside.reshape(mask.shape[1:])
    return mask


def test_outlines_filled_are_the_label_map(series: Scan, tmp_path: Path) -> None:
    labels = ball(1)[1].astype(np.uint16) * 600
    labels[3:5, 2:9, 30:40] = 3
    labels[3:5, 4:7, 33:36] = 0  # a hole
    labels[6, 0:2, 0:3] = 3  # at the border
    stored = pydicom.dcmread(write_rtstruct(tmp_path / "x.rt.dcm", series, labels, NAMES, COLOURS))
    assert stored.Modality == "RTSTRUCT"
    assert [roi.ROIName for roi in stored.StructureSetROISequence] == ["kidney", "ring"]
    assert list(stored.ROIContourSequence[0].ROIDisplayColor) == [255, 128, 0]
    assert stored.FrameOfReferenceUID == series.slices[0].FrameOfReferenceUID
    kinds = [
        {contour.ContourGeometricType for contour in roi.ContourSequence}
        for roi in stored.ROIContourSequence
    ]
    assert kinds == [{"CLOSED_PLANAR"}, {"CLOSEDPLANAR_XOR"}]
    for number, value in enumerate(NAMES):
        np.testing.assert_array_equal(filled(stored, number, series), labels == value)


def test_nothing_found_and_no_series(series: Scan, tmp_path: Path) -> None:
    empty = np.zeros(series.image.shape, dtype=np.uint8)
    stored = pydicom.dcmread(write_rtstruct(tmp_path / "x.rt.dcm", series, empty, NAMES, COLOURS))
    assert not stored.ROIContourSequence[0].ContourSequence
    with pytest.raises(InputError, match="not a DICOM series, so no RT structure set can"):
        write_rtstruct(tmp_path / "x", Scan("b", ball(1)[0], affine()), empty, NAMES, COLOURS)
