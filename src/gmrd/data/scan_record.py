"""What a training knows of its data set's volumes, as plain data that a checkpoint can carry."""

from __future__ import annotations

from typing import Any

import nibabel as nib

from gmrd.data.datamodule import EpisodeDataModule
from gmrd.io.readers import read_scan


def scan_record(datamodule: EpisodeDataModule) -> dict[str, Any]:
    """Which cases were trained on, and their orientation, spacing (z, y, x) and slice shape.

    The geometry is that of one volume. With it goes what preparation did to the intensities, so
    that a new scan can be brought to the slices that the network knows. Empty where no volume can
    be looked at.
    """
    cases = datamodule.train_cases
    if not cases:
        return {}
    scan = read_scan(cases[0].image)
    rows, columns = scan.image.shape[1:]
    preparation = datamodule.preparation or {}
    window = preparation.get("window")
    return {
        "name": datamodule.name,
        "cases": [case.case_id for case in cases],
        "fold": datamodule.fold,
        "setting": datamodule.setting,
        "group": datamodule.group,
        "orientation": "".join(nib.aff2axcodes(scan.affine)),
        "spacing": [round(v, 6) for v in scan.spacing],
        "slice_shape": [int(rows), int(columns)],
        "window": None if window is None else [float(v) for v in window],
        "clip_percentile": preparation.get("clip_percentile"),
    }
