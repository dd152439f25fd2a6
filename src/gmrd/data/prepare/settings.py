"""How a data set is prepared: input files and steps, from its YAML file."""

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
    """The download's file patterns and the steps of preparation, in this order.

    Lengths and axes are (x, y, z), as in the files.

    Attributes:
        images: Path of a case's NIfTI file or DICOM folder below the source, with ``{case}``.
        labels: Path of its NIfTI label or folder of PNG masks; None without ground truth.
        label_ranges: Class id to its lowest and highest value in the label files; empty if the
            values are the ids.
        mask_order: How PNG masks are matched with slices: by ``names``, by order among the sorted
            ``files``, or by ``position`` along the patient; ``auto`` uses names if they match,
            files otherwise.
        unlabelled: Whether a case without its label is refused or skipped; challenges withhold
            some labels.
        check_geometry: Refuse labels that are not in the place of their image.
        series: DICOM attributes and values of the series to read, such as
            ``{SeriesDescription: T2}``, for folders with several series.
        orientation: Axis codes to reorient the volume to; None to keep its orientation.
        window: Intensities mapped to 0 and 255, with clipping (CT); None for no window.
        clip_percentile: Intensities above this percentile are clipped to it (MRI); None for no
            clipping.
        border: Pixels to crop from each side of a slice.
        spacing: Voxel size to resample to, in millimetres.
        spacing_factor: Factor on the voxel size, instead of ``spacing``.
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
