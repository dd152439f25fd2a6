"""How a data set is prepared: what to read and which steps to take, from its YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from gmrd.values.kinds import (
    Natural,
    Orientation,
    Percentile,
    Range,
    Spacing,
    Such,
    Window,
    Within,
)

MaskOrder = Literal["auto", "names", "files", "position"]
Unlabelled = Literal["refuse", "skip"]
Pattern = Annotated[str, Such("a path with {case} once", lambda path: path.count("{case}") == 1)]
Size = Annotated[int, Within(1, 4096)]


@dataclass(frozen=True)
class Preparation:
    """Where the download's files lie and the steps to take, in this order.

    Lengths and axes are (x, y, z), as in the files.

    Attributes:
        images: Path of a case's NIfTI file or DICOM folder below the source, with ``{case}``.
        labels: Path of its NIfTI label or folder of PNG masks; None without ground truth.
        label_ranges: Class id to the lowest and highest value that stand for it in the labels;
            empty if the values are the ids.
        mask_order: Which PNG belongs to which slice: the one of the same ``names``, the one at
            the same place among the sorted ``files``, or at the same place along the patient
            (``position``); ``auto`` takes names where they agree and files otherwise.
        unlabelled: Whether a case without its label is refused or left out; challenges keep some
            labels to themselves.
        check_geometry: Refuse labels that lie elsewhere than their image.
        series: DICOM attributes and the values that the wanted series has, such as
            ``{SeriesDescription: T2}``, for folders with several series.
        orientation: Axis codes to bring the volume to; None leaves it as it is.
        window: Intensities that become 0 and 255, with clipping (CT); None for none.
        clip_percentile: Intensities above this percentile become it (MRI); None for none.
        border: Pixels to cut off each side of a slice.
        spacing: Voxel size to resample to, in millimetres.
        spacing_factor: Factor on the voxel size, in place of ``spacing``.
        size: Side of the slices, reached by cropping or padding about the centre.
    """

    images: Pattern
    labels: Pattern | None = None
    label_ranges: Mapping[int, Range] = field(default_factory=dict)
    mask_order: MaskOrder = "auto"
    unlabelled: Unlabelled = "refuse"
    check_geometry: bool = True
    series: Mapping[str, Any] = field(default_factory=dict)
    orientation: Orientation | None = None
    window: Window | None = None
    clip_percentile: Percentile | None = None
    border: Natural = 0
    spacing: Spacing | None = None
    spacing_factor: Spacing | None = None
    size: Size | None = None
