"""The DICOM series in a folder, and a series as a volume.

pydicom reads the headers; SimpleITK reads the voxels, because it decodes the compressed syntaxes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gmrd.errors import InputError
from gmrd.io.dicom_file import DicomFile, read_header
from gmrd.io.dicom_stack import affine_of, in_order
from gmrd.io.formats import check_size, files_below
from gmrd.io.itk import read_slices
from gmrd.io.scan import Scan
from gmrd.io.voxels import VoxelType


def read_series(folder: Path, *, source: str, dtype: VoxelType = np.float32) -> Scan:
    """Read the only image series in a folder and its subfolders.

    Raises:
        InputError: there is none, or more than one; see also :func:`find_series` and
            :func:`stack_series`.
    """
    series = find_series(folder, source)
    if not series:
        raise InputError(
            f"{source} holds no DICOM slices with a position in the patient, and no scan in "
            "another format (.nii, .nii.gz, .nrrd, .mha, .zip)"
        )
    if len(series) > 1:
        raise InputError(
            f"{source} holds {len(series)} DICOM series: {listed(series)}. Put each in its own "
            "folder"
        )
    return stack_series(series[0], source, dtype=dtype)


def find_series(folder: Path, source: str) -> list[list[DicomFile]]:
    """The slices in a folder and its subfolders, by series; other files are skipped.

    Raises:
        InputError: there are too many files, one cannot be read, or a link points out of the
            folder.
    """
    root = folder.resolve()
    series: dict[str, list[DicomFile]] = defaultdict(list)
    for file in files_below(folder):
        if not file.resolve().is_relative_to(root):
            raise InputError(f"{file} links out of {source}: copy the file itself there")
        found = read_header(file)
        if found is not None:
            series[str(found.header.get("SeriesInstanceUID", ""))].append(found)
    return list(series.values())


def stack_series(files: Sequence[DicomFile], source: str, *, dtype: VoxelType = np.float32) -> Scan:
    """The slices of a series as a volume; ``Scan.slices`` holds their headers.

    Raises:
        InputError: the slices differ in size or direction, one is missing or duplicated, or the
            pixels cannot be read.
    """
    ordered = in_order(files, source)
    first = ordered[0].header
    check_size(Path(source), (int(first.Columns), int(first.Rows), len(ordered)))
    affine = affine_of(ordered, source)
    return Scan(
        name=Path(source).stem or "series",
        image=read_slices([file.path for file in ordered], source, dtype),
        affine=affine,
        source=source,
        slices=tuple(file.header for file in ordered),
    )


def listed(series: Sequence[Sequence[DicomFile]]) -> str:
    """Series as text for a message."""
    return "; ".join(
        f"{files[0].header.get('SeriesDescription', 'unnamed')!r} number "
        f"{files[0].header.get('SeriesNumber')} ({len(files)} slices)"
        for files in series
    )
