"""What prediction takes from a checkpoint's record of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gmrd.checkpoint.record import TrainingRecord
from gmrd.predict.geometry import TrainingGeometry
from gmrd.predict.intensity import Intensity


@dataclass(frozen=True)
class TrainingScans:
    """Geometry and intensities of the training volumes.

    Attributes:
        geometry: of the volumes; None if the checkpoint records none.
        intensity: what had been done to their intensities.
        name: of the data set.
    """

    geometry: TrainingGeometry | None
    intensity: Intensity
    name: str

    @classmethod
    def from_record(cls, plain: Mapping[str, Any] | None) -> TrainingScans:
        """From the ``scans`` entry of a checkpoint's hyper-parameters."""
        record = TrainingRecord.from_plain(plain)
        if record is None:
            return cls(None, Intensity(), "unknown")
        return cls(
            geometry=TrainingGeometry(record.orientation, record.spacing, record.slice_shape),
            intensity=Intensity(window=record.window, clip_percentile=record.clip_percentile),
            name=record.name,
        )
