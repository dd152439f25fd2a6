"""Organs as a DICOM segmentation object (SEG) that references the segmented series."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from gmrd.errors import InputError
from gmrd.io.atomic import replacing
from gmrd.io.dicom_reference import referable, refuse_without_series
from gmrd.io.scan import Scan

SERIES_NUMBER = 1000
"""Series number of the output; scanners count from 1."""


def check_writable(scan: Scan) -> None:
    """Refuse a scan that no DICOM segmentation can reference, or a missing library.

    Raises:
        InputError: the scan was not read from DICOM, or highdicom is not installed.
    """
    refuse_without_series(scan, "DICOM segmentation")
    _highdicom()


def write_segmentation(
    path: Path, scan: Scan, labels: Integer[np.ndarray, "z y x"], names: Mapping[int, str]
) -> Path:
    """Write label values as the segments 1, 2, … of a SEG object, in the order of ``names``.

    Args:
        path: where to write.
        scan: read from a DICOM series.
        labels: label map on the scan's voxels.
        names: label value to organ name, the segment's label.

    Raises:
        InputError: see :func:`check_writable`; or the series lacks required attributes.
    """
    check_writable(scan)
    segments = np.zeros(labels.shape, dtype=np.uint8 if len(names) < 256 else np.uint16)
    for number, value in enumerate(names, start=1):
        segments[labels == value] = number
    try:
        with warnings.catch_warnings():
            # highdicom warns of an empty map; the findings report it.
            warnings.simplefilter("ignore")
            stored = _segmentation(scan, segments, list(names.values()))
    except InputError:
        raise
    except (AttributeError, KeyError, ValueError) as error:
        raise InputError(
            f"{scan.source}: no DICOM segmentation can reference this series ({error}): fix its "
            "headers or use format=nifti"
        ) from error
    with replacing(path) as temporary:
        stored.save_as(temporary)
    return path


def _segmentation(scan: Scan, segments: np.ndarray, organs: list[str]) -> Any:
    hd, release = _highdicom(), version("gmrd")
    return hd.seg.Segmentation(
        source_images=referable(scan),
        pixel_array=segments,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(hd, number, organ, release) for number, organ in enumerate(organs, start=1)
        ],
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="gmrd",
        manufacturer_model_name="gmrd-predict",
        software_versions=release,
        device_serial_number="none",
        series_description="gmrd: for research only",
    )


def _description(hd: Any, number: int, organ: str, release: str) -> Any:
    from pydicom.sr.codedict import codes

    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=organ[:64],
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=_code(codes.SCT, organ),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="GMRD", version=release, family=codes.DCM.ArtificialIntelligence
        ),
    )


def _code(scheme: Any, organ: str) -> Any:
    """The SNOMED code of an organ's name, else of its last word, else of any structure."""
    words = [word.capitalize() for word in organ.replace("_", " ").split()]
    for keyword in ("".join(words), *words[-1:]):
        if keyword and hasattr(scheme, keyword):
            return getattr(scheme, keyword)
    return scheme.AnatomicalStructure


def _highdicom() -> Any:
    try:
        import highdicom
    except ImportError as error:
        raise InputError(
            "a DICOM segmentation needs highdicom: pip install 'gmrd[dicom-seg]'"
        ) from error
    logging.getLogger("highdicom").setLevel(logging.WARNING)  # it logs every attribute it copies
    return highdicom
