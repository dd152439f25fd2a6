"""Downloads as challenges lay them out, written from real or phantom pixels for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from matplotlib.image import imsave
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

MR_VALUES = {1: 63, 2: 126, 3: 189, 4: 252}
"""What stands for liver, right kidney, left kidney and spleen in the CHAOS MR masks."""


def write_dicom_series(
    folder: Path,
    image: np.ndarray,
    *,
    spacing: tuple[float, float, float],
    description: str = "T2",
    head_first: bool = False,
) -> str:
    """Write (z, y, x) slices, z growing to the head; file numbers may run the other way."""
    folder.mkdir(parents=True, exist_ok=True)
    series = generate_uid()
    for z, pixels in enumerate(image):
        number = len(image) - 1 - z if head_first else z
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        slice_ = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.SOPClassUID = MRImageStorage
        slice_.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        slice_.SeriesInstanceUID, slice_.SeriesDescription = series, description
        slice_.SeriesNumber, slice_.InstanceNumber = 301, number + 1
        slice_.Modality, slice_.PhotometricInterpretation = "MR", "MONOCHROME2"
        slice_.ImagePositionPatient = [-100.0, -120.0, z * spacing[0]]
        slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        slice_.PixelSpacing = [spacing[1], spacing[2]]
        slice_.SliceThickness = spacing[0]
        slice_.Rows, slice_.Columns = pixels.shape
        slice_.SamplesPerPixel, slice_.PixelRepresentation = 1, 0
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 16, 15
        slice_.PixelData = np.ascontiguousarray(pixels, dtype=np.uint16).tobytes()
        pydicom.dcmwrite(
            folder / f"IMG-0004-{number + 1:05d}.dcm", slice_, enforce_file_format=True
        )
    return series


def write_masks(folder: Path, label: np.ndarray, *, stem: str, head_first: bool = False) -> None:
    """Write (z, y, x) class ids as grey PNG files with the values of CHAOS MR."""
    folder.mkdir(parents=True, exist_ok=True)
    grey = np.zeros(label.shape, dtype=np.uint8)
    for class_id, value in MR_VALUES.items():
        grey[label == class_id] = value
    for z, pixels in enumerate(grey):
        number = len(grey) - 1 - z if head_first else z
        path = folder / f"{stem}{number + 1:05d}.png"
        imsave(path, pixels, cmap="gray", vmin=0, vmax=255)
