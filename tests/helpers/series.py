"""A scan as a DICOM series of plain CT slices, any value of which may be another."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from gmrd.io.readers import read_scan


def write_series(
    folder: Path,
    image: np.ndarray,
    affine: np.ndarray,
    *,
    stored: Callable[[np.ndarray], np.ndarray] = lambda image: image + 1000,
    TransferSyntaxUID: str = ExplicitVRLittleEndian,  # noqa: N803
    **values: Any,
) -> Path:
    """Write (z, y, x) whole numbers; the names of the files hide their order.

    Args:
        folder: is made.
        image: the scan.
        affine: voxel (x, y, z) to world millimetres, right-anterior-superior.
        stored: what the pixels hold; by default rescaled by slope 1 and intercept -1000.
        TransferSyntaxUID: of every file.
        values: of attributes by keyword; None deletes one, a callable takes z and may return None
            for what would be there without it.
    """
    folder.mkdir()
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    lps = np.diag([-1, -1, 1, 1]) @ affine
    x, y = (lps[:3, axis] / np.linalg.norm(lps[:3, axis]) for axis in (0, 1))
    between = [float(np.linalg.norm(lps[:3, axis])) for axis in (1, 0)]
    for z, pixels in enumerate(stored(image)):
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID = TransferSyntaxUID
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        own: dict[str, Any] = {
            **uids,
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.1",
            "Modality": "CT",
            "SeriesNumber": 1,
            "Rows": pixels.shape[0],
            "Columns": pixels.shape[1],
            "PixelSpacing": between,
            "ImageOrientationPatient": [*x, *y],
            "ImagePositionPatient": (lps @ [0, 0, z, 1])[:3].round(6).tolist(),
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 1,
            "RescaleSlope": 1,
            "RescaleIntercept": -1000,
            "PixelData": pixels.astype("<i2").tobytes(),
        }
        slice_ = pydicom.Dataset()
        slice_.file_meta = meta
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that are wrong on purpose
            for keyword, value in {**own, **values}.items():
                value = value(z) if callable(value) else value
                if keyword in values and values[keyword] is None:
                    continue
                setattr(slice_, keyword, own[keyword] if value is None else value)
            path = folder / f"{(z * 7) % len(image):02d}.dcm"
            slice_.save_as(path, enforce_file_format=True)
    return folder


def as_dicom(nifti: Path, folder: Path) -> Path:
    """Write a NIfTI scan as a series."""
    scan = read_scan(nifti)
    return write_series(folder, scan.image, scan.affine)
