"""Annotated scans: read, checked against each other, and resampled for a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt

from gmrd.errors import InputError
from gmrd.io.scan import Scan
from gmrd.predict.geometry import Grid, TrainingGeometry
from gmrd.predict.given import LabelLike, ScanLike, as_label, as_scan
from gmrd.predict.intensity import Intensity


@dataclass(frozen=True)
class Support:
    """A support scan and its masks, resampled to the training geometry.

    Attributes:
        image: z-scored.
        masks: by label value.
        step: distance between slices in mm.
    """

    image: Float32[np.ndarray, "z y x"]
    masks: Mapping[int, Bool[np.ndarray, "z y x"]]
    step: float

    @classmethod
    def resampled(
        cls,
        scan: Scan,
        label: UInt[np.ndarray, "z y x"],
        names: Mapping[int, str],
        geometry: TrainingGeometry,
        intensity: Intensity,
    ) -> Support:
        """Resample a scan and its label map to the training geometry.

        Raises:
            InputError: a label vanishes.
        """
        grid = Grid.between(scan, geometry)
        masks = {}
        for value, name in names.items():
            masks[value] = grid.shares(label == value) > 0.5
            if not masks[value].any():
                raise InputError(
                    f"{scan.source}: label {value} ({name}) vanishes on slices of "
                    f"{geometry.slice_shape} pixels of {geometry.spacing[1]:g} mm: it is tiny, or "
                    "far from the scan's centre. Crop the scan around it"
                )
        return cls(
            image=intensity.standardised(grid.slices(intensity(scan.image))),
            masks=masks,
            step=grid.spacing[0],
        )


def read_pair(scan: ScanLike, label: LabelLike) -> tuple[Scan, UInt[np.ndarray, "z y x"]]:
    """A support scan and its label map, in the smallest type that holds its values."""
    image = as_scan(scan)
    values = as_label(label, image)
    return image, values.astype(np.min_scalar_type(int(values.max())))


def label_names(
    names: Mapping[int, str] | None, read: Sequence[tuple[Scan, UInt[np.ndarray, "_ _ _"]]]
) -> dict[int, str]:
    """Label value to organ name; every support must contain every value.

    Raises:
        InputError: a label map is empty or lacks a value, the background is named, a name is
            blank, or two values have the same one.
    """
    present = [int(v) for v in np.unique(read[0][1]) if v != 0]
    if not present:
        raise InputError(
            f"the label map of {read[0][0].source} is empty: it must contain an annotated organ"
        )
    chosen = {v: f"label_{v}" for v in present} if names is None else dict(names)
    _refuse_confusing(chosen)
    for scan, label in read:
        absent = [value for value in chosen if not (label == value).any()]
        if absent:
            held = [int(v) for v in np.unique(label) if v]
            raise InputError(
                f"the label map of {scan.source} has no voxel of value {absent[0]}: it holds {held}"
            )
    return {int(value): str(name) for value, name in chosen.items()}


def _refuse_confusing(names: Mapping[int, str]) -> None:
    if not names:
        raise InputError("names is empty: name at least one label value, or leave names out")
    if 0 in names:
        raise InputError(f"names={dict(names)}: 0 is the background: name values from 1")
    if blank := [value for value, name in names.items() if not str(name).strip()]:
        raise InputError(f"names={dict(names)}: {blank[0]} has a blank name: give its organ's name")
    twice = [name for name, n in Counter(names.values()).items() if n > 1]
    if twice:
        raise InputError(
            f"names={dict(names)}: {twice[0]} is the name of two label values: use distinct names"
        )
