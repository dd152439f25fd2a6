"""What a checkpoint remembers of the scans that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gmrd.predict.geometry import TrainingGeometry
from gmrd.predict.intensity import Intensity


@dataclass(frozen=True)
class TrainingScans:
    """Geometry and intensities of the training volumes.

    Attributes:
        geometry: how they lay; None in a checkpoint that does not tell.
        intensity: what had been done to their intensities.
        name: of the data set.
    """

    geometry: TrainingGeometry | None
    intensity: Intensity
    name: str

    @classmethod
    def from_record(cls, record: Mapping[str, Any] | None) -> TrainingScans:
        """From the ``scans`` entry of a checkpoint's hyper-parameters."""
        if not record:
            return cls(None, Intensity(), "unknown")
        window = record.get("window")
        percentile = record.get("clip_percentile")
        return cls(
            geometry=TrainingGeometry.from_record(record),
            intensity=Intensity(
                window=None if window is None else (float(window[0]), float(window[1])),
                clip_top_percent=0.0 if percentile is None else 100.0 - float(percentile),
            ),
            name=str(record.get("name", "unknown")),
        )
