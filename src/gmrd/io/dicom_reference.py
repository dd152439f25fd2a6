"""What a DICOM object must know of the series that it refers to, also if that was anonymised."""

from __future__ import annotations

from typing import Any

from gmrd.errors import InputError
from gmrd.io.scan import Scan

MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)

NEEDED = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
"""Identifiers that nothing stands in for: with others, no viewer would find the series."""

CLASSES = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4"}
"""Image classes by modality."""
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def refuse_without_series(scan: Scan, kind: str) -> None:
    """Refuse a scan that was not read from DICOM.

    Raises:
        InputError: the message names the ``kind`` of object that cannot be written.
    """
    if scan.slices is None:
        raise InputError(
            f"{scan.source or scan.name} is no DICOM series, so no {kind} can refer to it: use "
            "format=nifti, or give the folder of the series as the query"
        )


def referable(scan: Scan) -> list[Any]:
    """The headers of a series, in the order of z, with what anonymisers remove put back.

    A blank class is taken from the file's own head or from the modality, and the other way
    round; what may be empty is there, empty.

    Raises:
        InputError: an identifier is missing or blank.
    """
    headers = [_completed(header, scan.spacing[0]) for header in scan.slices or ()]
    for keyword in NEEDED:
        if any(not header.get(keyword) for header in headers):
            raise InputError(
                f"{scan.source}: nothing can refer to this series, because {keyword} is missing or "
                "blank: repair its headers or use format=nifti"
            )
    return headers


def _completed(header: Any, step: float) -> Any:
    copied, head = header.copy(), getattr(header, "file_meta", {})
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if not copied.get(keyword):
            setattr(copied, keyword, head.get(f"MediaStorage{keyword}") or "")
    modality = copied.get("Modality")
    if not copied.SOPClassUID:
        copied.SOPClassUID = CLASSES.get(modality, SECONDARY_CAPTURE)
    if not modality:
        known = {uid: name for name, uid in CLASSES.items()}
        copied.Modality = known.get(copied.SOPClassUID, "OT")
    if not copied.get("SliceThickness"):
        copied.SliceThickness = step
    for keyword in MAY_BE_EMPTY:
        if keyword not in copied:
            setattr(copied, keyword, None)
    return copied
