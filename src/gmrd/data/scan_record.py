"""The geometry of a data set's volumes, from one of them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib

from gmrd.io.readers import read_scan

Geometry = tuple[str, tuple[float, float, float], tuple[int, int]]


def geometry_of(path: Path) -> Geometry:
    """Axis codes of (x, y, z), spacing (z, y, x) in mm, and rows and columns of a slice.

    Raises:
        InputError: the volume cannot be read.
    """
    scan = read_scan(path)
    z, y, x = (round(float(v), 6) for v in scan.spacing)
    rows, columns = scan.image.shape[1:]
    return "".join(nib.aff2axcodes(scan.affine)), (z, y, x), (int(rows), int(columns))
