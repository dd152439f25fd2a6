"""Reading scans and labels of several formats, after the checks that keep a reader safe."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Int

from gmrd.data.volume import as_integers, read_image, refuse_other_place, refuse_other_shape
from gmrd.predict.scan import Scan


def read_scan(path: str | Path) -> Scan:
    """Read a scan.

    Raises:
        InputError: it is missing, of no known format, damaged, hostile or not one 3-D volume.
    """
    path = Path(path).expanduser()
    image, affine = read_image(path)
    stored = nib.load(path)
    shape = tuple(stored.shape)
    return Scan(
        name=path.name.removesuffix(".gz").removesuffix(".nii"),
        image=image.astype(np.float32),
        affine=affine,
        header=stored.header,
        stored_shape=shape if len(shape) != 3 else None,
        source=str(path),
    )


def read_label(path: str | Path, scan: Scan) -> Int[np.ndarray, "z y x"]:
    """Read the label map of a scan; it must have the scan's shape and place."""
    path = Path(path).expanduser()
    label = read_scan(path)
    refuse_other_shape(path, label.image, scan.image)
    refuse_other_place(path, label.affine, scan.affine, scan.image.shape)
    return as_integers(path, label.image)
