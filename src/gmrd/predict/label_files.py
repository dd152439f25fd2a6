"""Label maps as files: the format goes by the ending."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Integer
from matplotlib.colors import to_rgb

from gmrd.io.dicom_seg import write_segmentation
from gmrd.io.rtstruct import write_rtstruct
from gmrd.io.scan import Scan
from gmrd.io.seg_nrrd import write_seg_nrrd
from gmrd.viz.pictures import colour_of


def write_labels(
    path: Path,
    scan: Scan,
    labels: Integer[np.ndarray, "z y x"],
    names: Mapping[int, str],
    *,
    description: str = "",
) -> Path:
    """Write a label map in its scan's geometry.

    As NIfTI with the scan's shape, affine and codes; or, by the path's ending, as 3D Slicer's
    segmentation (``.seg.nrrd``), or as a DICOM RT structure set (``.rt.dcm``) or segmentation
    (``.dcm``) that refers to the scan's series.

    Args:
        path: where to write.
        scan: whose voxels the labels are on.
        labels: label map.
        names: label value to organ name.
        description: for the header of a NIfTI file.

    Raises:
        InputError: DICOM of a scan that was not read from DICOM, or a library is missing.
    """
    colours = {value: to_rgb(colour_of(value)) for value in names}
    if path.name.endswith(".seg.nrrd"):
        return write_seg_nrrd(path, scan, labels, names, colours)
    if path.name.endswith(".rt.dcm"):
        return write_rtstruct(path, scan, labels, names, colours)
    if path.suffix == ".dcm":
        return write_segmentation(path, scan, labels, names)
    return scan.save(path, labels, description=description)
