"""What a network predicts for a case: thresholded, in one label map, and as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gmrd.data.volume import Volume
from gmrd.evaluation.names import written
from gmrd.io.nifti_writer import write_nifti

THRESHOLD = 0.5
"""A voxel above this foreground probability belongs to the class."""

Probabilities = dict[int, NDArray[np.float32]]
"""Class id to the foreground probability (z, y, x) on the query's grid."""


def as_label_map(probabilities: Probabilities) -> NDArray[np.uint8]:
    """One map of class ids, to look at: the most probable class has the voxel."""
    stacked = np.stack(list(probabilities.values()))
    winner = np.array(list(probabilities), dtype=np.uint8)[stacked.argmax(axis=0)]
    return np.where(stacked.max(axis=0) > THRESHOLD, winner, 0).astype(np.uint8)


def prediction_path(folder: Path, case_id: str, organ: str) -> Path:
    """Where a run in ``folder`` keeps the mask that was scored for an organ of a case."""
    return folder / "predictions" / f"prediction_{case_id}_{written(organ)}.nii.gz"


def save_prediction(path: Path, query: Volume, probability: NDArray[np.float32]) -> None:
    """Write the mask that is scored with the query's affine."""
    write_nifti(path, (probability > THRESHOLD).astype(np.uint8), query.affine)
