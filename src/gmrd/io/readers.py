"""Reading scans and labels of several formats, after the checks that keep a reader safe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from jaxtyping import Int

from gmrd.data.volume import as_integers, read_image, refuse_other_place, refuse_other_shape
from gmrd.errors import InputError
from gmrd.io.archive import unpacked
from gmrd.io.dicom import read_series
from gmrd.io.formats import check_header, format_of
from gmrd.io.itk import read_itk
from gmrd.io.scan import Scan

ENDINGS = (".nii", ".nii.gz", ".nrrd", ".mha")


def read_scan(path: str | Path) -> Scan:
    """Read a scan: NIfTI, NRRD, MHA, a folder with a DICOM series, or a zip of one of these.

    Raises:
        InputError: it is missing, of no known format, damaged, hostile or not one 3-D volume.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return read_series(path, source=str(path))
    kind = format_of(path)
    if kind == "zip":
        return _read_zip(path)
    if kind == "dicom":
        raise InputError(f"{path} is a single DICOM file: give the folder of its series")
    check_header(path, kind)
    return _read_nifti(path) if kind == "nifti" else read_itk(path, kind)


def read_label(path: str | Path, scan: Scan) -> Int[np.ndarray, "z y x"]:
    """Read the label map of a scan; it must have the scan's shape and place."""
    path = Path(path).expanduser()
    label = read_scan(path)
    refuse_other_shape(path, label.image, scan.image)
    refuse_other_place(path, label.affine, scan.affine, scan.image.shape)
    return as_integers(path, label.image)


def _read_nifti(path: Path) -> Scan:
    image, affine = read_image(path)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError(f"{path}: the affine places no volume in space; repair the header")
    stored = cast(Any, nib.load(path))
    shape = tuple(stored.shape)
    return Scan(
        name=stem(path),
        image=image.astype(np.float32),
        affine=affine,
        header=stored.header,
        stored_shape=shape if len(shape) != 3 else None,
        source=str(path),
    )


def _read_zip(path: Path) -> Scan:
    with unpacked(path) as folder:
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        scans = [file for file in files if file.name.lower().endswith(ENDINGS)]
        if len(scans) > 1:
            raise InputError(f"{path} holds {len(scans)} scans: give them one by one")
        if scans:
            kind = format_of(scans[0])
            if kind in ("zip", "dicom"):
                raise InputError(f"{path}: {scans[0].name} is not what its name says ({kind})")
            scan = read_scan(scans[0])
        else:
            scan = read_series(folder, source=str(path))
    return replace(scan, name=stem(path), source=str(path))


def stem(path: Path) -> str:
    """A file's name without the endings of images."""
    name = path.name.removesuffix(".gz")
    return name.rsplit(".", 1)[0] if "." in name else name
