"""The endings of files that hold a scan, and what a scan is called."""

from __future__ import annotations

from pathlib import Path

NIFTI_ENDINGS = (".nii", ".nii.gz")
SCAN_ENDINGS = (*NIFTI_ENDINGS, ".nrrd", ".mha")
ARCHIVE_ENDING = ".zip"
READABLE_ENDINGS = (*SCAN_ENDINGS, ARCHIVE_ENDING)
"""Of all files that :func:`gmrd.io.readers.read_scan` opens; a DICOM series is a folder."""


def stem(path: Path) -> str:
    """A file's name without the endings of images."""
    name = path.name.removesuffix(".gz")
    return name.rsplit(".", 1)[0] if "." in name else name
