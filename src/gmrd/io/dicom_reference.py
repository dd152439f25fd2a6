"""The headers that a DICOM object needs to reference a series, even an anonymised one."""

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
"""Identifiers that cannot be replaced: with others, no viewer would find the series."""

CLASSES = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4"}
"""Image SOP classes by modality."""
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def refuse_without_series(scan: Scan, kind: str) -> None:
    """Refuse a scan that was not read from DICOM.

    Raises:
        InputError: the message names the ``kind`` of object that cannot be written.
    """
    if scan.slices is None:
        raise InputError(
            f"{scan.source or scan.name} is not a DICOM series, so no {kind} can reference it: "
            "use format=nifti, or give the folder of the series as the query"
        )


def referable(scan: Scan) -> list[Any]:
    """The headers of a series, in z order, with the attributes that anonymisers remove restored.

    A blank SOP class comes from the file meta header or from the modality, and a blank modality
    from the SOP class; attributes that may be empty are added empty.

    Raises:
        InputError: an identifier is missing or blank.
    """
    headers = [_completed(header, scan.spacing[0]) for header in scan.slices or ()]
    for keyword in NEEDED:
        if any(not header.get(keyword) for header in headers):
            raise InputError(
                f"{scan.source}: this series cannot be referenced, because {keyword} is missing or "
                "blank: fix its headers or use format=nifti"
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
