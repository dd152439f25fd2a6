"""Findings of an inspection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Num

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """A finding about the data.

    Attributes:
        severity: ``error`` stops training or evaluation or invalidates their results; ``warning``
            may do so; ``note`` is for information.
        case_id: The case, or "" for the whole data set.
        what: The finding.
        meaning: Its consequence, and what to do.
    """

    severity: Severity
    case_id: str
    what: str
    meaning: str


@dataclass(frozen=True)
class Portrait:
    """The properties of an inspected case.

    Attributes:
        shape: Voxels (x, y, z).
        spacing: Millimetres (x, y, z).
        orientation: Axis codes such as LAS.
        directions: Unit vectors of the axes in the world, in columns.
        digest: Hash of the intensities, None where they cannot be read.
        n_supervoxels: Number of supervoxels, None where there are none yet.
        class_voxels: Voxels of every label value but 0.
        picture: The slice with the largest labelled area, and its labels.
    """

    case_id: str
    shape: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None
    orientation: str = ""
    directions: Float[np.ndarray, "3 3"] | None = None
    digest: str | None = None
    n_supervoxels: int | None = None
    class_voxels: dict[int, int] = field(default_factory=dict)
    picture: tuple[Num[np.ndarray, "y x"], Num[np.ndarray, "y x"]] | None = None
    findings: tuple[Finding, ...] = ()
