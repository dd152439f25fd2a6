"""A network's predictions for a case as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gmrd.data.volume import Volume
from gmrd.evaluation.names import written
from gmrd.inference import THRESHOLD
from gmrd.io.nifti_writer import write_nifti

Probabilities = dict[int, NDArray[np.float32]]
"""Class id to the foreground probability (z, y, x) on the query's grid."""


def prediction_path(folder: Path, case_id: str, organ: str) -> Path:
    """The file of the scored mask of an organ and case, for a run in ``folder``."""
    return folder / "predictions" / f"prediction_{case_id}_{written(organ)}.nii.gz"


def save_prediction(path: Path, query: Volume, probability: NDArray[np.float32]) -> None:
    """Write the scored mask with the query's affine."""
    write_nifti(path, (probability > THRESHOLD).astype(np.uint8), query.affine)
