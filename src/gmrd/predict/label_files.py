"""Label maps as files: the file name extension decides the format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Integer
from matplotlib.colors import to_rgb

from gmrd.io.dicom_seg import write_segmentation
from gmrd.io.rtstruct import write_rtstruct
from gmrd.io.scan import Scan
from gmrd.io.seg_nrrd import write_seg_nrrd
from gmrd.viz.pictures import colour_of

LabelFormat = Literal["nifti", "seg_nrrd", "dicom_seg", "rtstruct"]

EXTENSIONS: Mapping[LabelFormat, str] = {
    "nifti": ".nii.gz",
    "seg_nrrd": ".seg.nrrd",
    "rtstruct": ".rt.dcm",
    "dicom_seg": ".dcm",  # after rtstruct's, which also ends in it
}
"""File name extensions of label maps; the first that fits a name is its format."""


def write_labels(
    path: Path,
    scan: Scan,
    labels: Integer[np.ndarray, "z y x"],
    names: Mapping[int, str],
    *,
    description: str = "",
) -> Path:
    """Write a label map in its scan's geometry.

    The path's extension decides the format: NIfTI with the scan's shape, affine and codes; a 3D
    Slicer segmentation (``.seg.nrrd``); or a DICOM RT structure set (``.rt.dcm``) or segmentation
    (``.dcm``) that references the scan's series.

    Args:
        path: where to write.
        scan: the scan of the label map.
        labels: label map.
        names: label value to organ name.
        description: for the header of a NIfTI file.

    Raises:
        InputError: DICOM is requested but the scan is not from DICOM, or a library is missing.
    """
    colours = {value: to_rgb(colour_of(value)) for value in names}
    match format_of(path):
        case "seg_nrrd":
            return write_seg_nrrd(path, scan, labels, names, colours)
        case "rtstruct":
            return write_rtstruct(path, scan, labels, names, colours)
        case "dicom_seg":
            return write_segmentation(path, scan, labels, names)
        case "nifti":
            return scan.save(path, labels, description=description)


def format_of(path: Path) -> LabelFormat:
    """The format of a label map by its name; NIfTI, whose writer checks the name, by default."""
    name = path.name
    return next((kind for kind, end in EXTENSIONS.items() if name.endswith(end)), "nifti")
