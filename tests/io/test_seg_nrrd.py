"""3D Slicer's segmentations: read again they are the label map, with names and colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gmrd.io.marks import is_result
from gmrd.io.readers import read_label
from gmrd.io.scan import Scan
from gmrd.io.seg_nrrd import write_seg_nrrd
from helpers.scans import affine, ball

sitk = pytest.importorskip("SimpleITK", reason="NRRD: install gmrd[dicom]")


@pytest.mark.parametrize("value", [2, 600])
def test_it_says_what_the_label_map_says(value: int, tmp_path: Path) -> None:
    image, label = ball(1)
    scan = Scan("b", image, affine())
    labels = label.astype(np.uint16) * value
    labels[0, 0, 0] = 1
    names = {1: "left\nkidney", value: "spleen"}
    path = write_seg_nrrd(
        tmp_path / "b.seg.nrrd", scan, labels, names, {1: (1.0, 0.0, 0.25), value: (0.0, 1.0, 0.0)}
    )
    assert (read_label(path, scan) == labels).all()
    assert is_result(path)
    stored = sitk.ReadImage(str(path))
    assert stored.GetMetaData("Segment0_Name") == "left kidney"
    assert stored.GetMetaData("Segment0_Color") == "1 0 0.25"
    assert stored.GetMetaData("Segment1_LabelValue") == str(value)
    assert stored.GetMetaData("Segment1_Extent") == "0 43 0 39 0 11"
