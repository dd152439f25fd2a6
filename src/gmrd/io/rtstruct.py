"""Organs as a DICOM RT structure set: contours on the slices of the referenced series."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer
from skimage.measure import find_contours

from gmrd.io.affine import LPS_TO_RAS
from gmrd.io.atomic import replacing
from gmrd.io.dicom_reference import MAY_BE_EMPTY, referable, refuse_without_series
from gmrd.io.itk import required
from gmrd.io.scan import Scan

Colours = Mapping[int, tuple[float, float, float]]
"""Label value to red, green and blue, 0 to 1."""

RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
STUDY_MANAGEMENT = "1.2.840.10008.3.1.2.3.1"
COPIED = ("StudyInstanceUID", *MAY_BE_EMPTY)


def write_rtstruct(
    path: Path,
    scan: Scan,
    labels: Integer[np.ndarray, "z y x"],
    names: Mapping[int, str],
    colours: Colours,
) -> Path:
    """Write every organ's contours, halfway between inner and outer voxels.

    The contours of an organ with a hole are of type CLOSEDPLANAR_XOR.

    Args:
        path: where to write.
        scan: read from a DICOM series.
        labels: label map on the scan's voxels.
        names: label value to organ name.
        colours: label value to colour.

    Raises:
        InputError: the scan is not a DICOM series, or the series lacks identifiers.
    """
    refuse_without_series(scan, "RT structure set")
    pydicom = required("pydicom", scan.source)
    stored = _structure_set(pydicom.Dataset, scan, labels, names, colours)
    stored.SOPInstanceUID = pydicom.uid.generate_uid()
    stored.SeriesInstanceUID = pydicom.uid.generate_uid()
    stored.file_meta = pydicom.dataset.FileMetaDataset()
    stored.file_meta.MediaStorageSOPClassUID = RT_STRUCTURE_SET
    stored.file_meta.MediaStorageSOPInstanceUID = stored.SOPInstanceUID
    stored.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    with replacing(path) as temporary:
        stored.save_as(temporary, enforce_file_format=True)
    return path


def _structure_set(
    dataset: Any,
    scan: Scan,
    labels: Integer[np.ndarray, "z y x"],
    names: Mapping[int, str],
    colours: Colours,
) -> Any:
    headers, now = referable(scan), datetime.datetime.now()
    first = headers[0]

    def made(**attributes: Any) -> Any:
        item = dataset()
        for keyword, value in attributes.items():
            setattr(item, keyword, value)
        return item

    images = [
        made(ReferencedSOPClassUID=h.SOPClassUID, ReferencedSOPInstanceUID=h.SOPInstanceUID)
        for h in headers
    ]
    series = made(SeriesInstanceUID=first.SeriesInstanceUID, ContourImageSequence=images)
    study = made(
        ReferencedSOPClassUID=STUDY_MANAGEMENT,
        ReferencedSOPInstanceUID=first.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    frame = first.FrameOfReferenceUID
    rois, outlines, observations = [], [], []
    for number, (value, organ) in enumerate(names.items(), start=1):
        rois.append(
            made(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=frame,
                ROIName=organ[:64],
                ROIGenerationAlgorithm="AUTOMATIC",
            )
        )
        found = list(_outlines(scan, labels == value))
        kind = "CLOSEDPLANAR_XOR" if any(hole for _, _, hole in found) else "CLOSED_PLANAR"
        contours = [
            made(
                ContourImageSequence=[images[z]],
                ContourGeometricType=kind,
                NumberOfContourPoints=len(points),
                ContourData=[f"{v:.3f}" for v in points.ravel()],
            )
            for z, points, _ in found
        ]
        colour = [round(255 * part) for part in colours[value]]
        outlines.append(
            made(ROIDisplayColor=colour, ReferencedROINumber=number, ContourSequence=contours)
        )
        observations.append(
            made(
                ObservationNumber=number,
                ReferencedROINumber=number,
                RTROIInterpretedType="ORGAN",
                ROIInterpreter=None,
            )
        )
    return made(
        **{keyword: first.get(keyword) for keyword in COPIED},
        SOPClassUID=RT_STRUCTURE_SET,
        Modality="RTSTRUCT",
        Manufacturer="gmrd",
        ManufacturerModelName="gmrd-predict",
        SoftwareVersions=version("gmrd"),
        ReferringPhysicianName=None,
        OperatorsName=None,
        SeriesNumber=1001,
        SeriesDescription="gmrd: for research only",
        StructureSetLabel="gmrd",
        StructureSetDate=now.strftime("%Y%m%d"),
        StructureSetTime=now.strftime("%H%M%S"),
        ApprovalStatus="UNAPPROVED",
        FrameOfReferenceUID=frame,
        PositionReferenceIndicator=None,
        ReferencedFrameOfReferenceSequence=[
            made(FrameOfReferenceUID=frame, RTReferencedStudySequence=[study])
        ],
        StructureSetROISequence=rois,
        ROIContourSequence=outlines,
        RTROIObservationsSequence=observations,
    )


def _outlines(
    scan: Scan, mask: Bool[np.ndarray, "z y x"]
) -> Iterator[tuple[int, Float[np.ndarray, "n 3"], bool]]:
    """Slice, points in patient coordinates (mm) and whether it bounds a hole, slice by slice."""
    affine = LPS_TO_RAS @ scan.affine
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        for contour in find_contours(np.pad(mask[z], 1).astype(np.float32), 0.5):
            rows, columns = contour[:-1].T - 1  # the last point repeats the first
            points = np.stack([columns, rows, np.full(len(rows), z), np.ones(len(rows))])
            yield int(z), (affine @ points)[:3].T, _winding(rows, columns) < 0


def _winding(rows: Float[np.ndarray, " n"], columns: Float[np.ndarray, " n"]) -> float:
    """Twice the enclosed area, negative for a hole: the mask is always on the same side."""
    return float(np.dot(columns, np.roll(rows, -1)) - np.dot(rows, np.roll(columns, -1)))
