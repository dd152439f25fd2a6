"""File name extensions of scans, and the name of a scan."""

from __future__ import annotations

import os
from pathlib import Path

NIFTI_EXTENSIONS = (".nii", ".nii.gz")
SCAN_EXTENSIONS = (*NIFTI_EXTENSIONS, ".nrrd", ".mha")
ARCHIVE_EXTENSION = ".zip"
READABLE_EXTENSIONS = (*SCAN_EXTENSIONS, ARCHIVE_EXTENSION)
"""All that :func:`gmrd.io.readers.read_scan` opens; a DICOM series is a folder."""


def expanded(path: str | Path) -> Path:
    """The path with ``~`` replaced by the home folder, if there is such a user."""
    return Path(os.path.expanduser(path))


def stem(path: Path) -> str:
    """A file's name without its image extensions."""
    name = path.name.removesuffix(".gz")
    return name.rsplit(".", 1)[0] if "." in name else name
