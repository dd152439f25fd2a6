"""Downloads as challenges lay them out, written from real or phantom pixels for the tests.

Arrays are (z, y, x) with z growing to the head, y to the back and x to the left, as DICOM has it;
NIfTI files say so in their affine.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from matplotlib.image import imsave
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

Spacing = tuple[float, float, float]

MR_VALUES = {1: 63, 2: 126, 3: 189, 4: 252}
"""What stands for liver, right kidney, left kidney and spleen in the CHAOS MR masks."""


def write_dicom_series(
    folder: Path,
    image: np.ndarray,
    *,
    spacing: Spacing,
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


def write_nifti(path: Path, array: np.ndarray, spacing: Spacing) -> None:
    """Write an array as a scanner's converter would, lying LPS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    nib.save(nib.Nifti1Image(array.transpose(2, 1, 0), affine), path)


def write_chaost2(
    source: Path, case: str, image: np.ndarray, label: np.ndarray, spacing: Spacing
) -> None:
    """A case of CHAOS MR: DICOM slices and grey PNG masks of the same names."""
    folder = source / "MR" / case / "T2SPIR"
    write_dicom_series(folder / "DICOM_anon", image, spacing=spacing)
    write_masks(folder / "Ground", label, stem="IMG-0004-")


def write_sabs(
    source: Path, case: str, image: np.ndarray, label: np.ndarray, spacing: Spacing
) -> None:
    """A case of Synapse's RawData.zip, in Hounsfield units."""
    for kind, array in (("img", image.astype(np.int16)), ("label", label)):
        path = source / "RawData" / "Training" / kind / f"{kind}{case}.nii.gz"
        write_nifti(path, array, spacing)


def write_cmr(
    source: Path, case: str, image: np.ndarray, label: np.ndarray, spacing: Spacing
) -> None:
    """A case of MS-CMRSeg 2019 with its other sequences, and one without a label."""
    values = np.array([0, 200, 500, 600], dtype=np.int16)[label]
    images = source / "c0t2lge"
    for name in (f"patient{case}_C0", f"patient{case}_LGE", "patient36_C0"):
        write_nifti(images / f"{name}.nii.gz", image, spacing)
    write_nifti(source / "c0gt" / f"patient{case}_C0_manual.nii.gz", values, spacing)


def write_prostate_mri(
    source: Path, case: str, image: np.ndarray, label: np.ndarray, spacing: Spacing
) -> None:
    """A case of data.zip, beside the list of the institutions."""
    for kind, array in (("img", image.astype(np.float32)), ("mask", label)):
        write_nifti(source / "data" / f"{case}_{kind}.nii", array, spacing)
    (source / "institution.txt").write_text(f"{case} 1\n")
