"""Scans and label maps as napari layers, and layers as scans and label maps.

Layers are in millimetres and upright: slices are seen from below, with anterior at the top. A
layer keeps its scan in its metadata, so that labels map back to the scan's own voxels exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer
from matplotlib.colors import to_rgba

from gmrd.errors import InputError
from gmrd.io.orientation import UPRIGHT, reorient, reoriented_spacing, restore
from gmrd.io.scan import Scan
from gmrd.predict.given import as_label, as_scan
from gmrd.predict.intensity import shown_range
from gmrd.viz.pictures import colour_of

SCAN = "gmrd_scan"
"""The key of a layer's metadata."""

LayerData = tuple[np.ndarray, dict[str, Any], str]
"""Data, arguments and type of a layer, as napari expects from a reader."""


def image_layer(scan: Scan) -> LayerData:
    """A scan as an image layer."""
    return (
        reorient(scan.image, scan.affine, UPRIGHT),
        {**_placed(scan), "name": scan.name, "contrast_limits": shown_range(scan.image)},
        "image",
    )


def labels_layer(
    scan: Scan,
    labels: Integer[np.ndarray, "z y x"],
    name: str,
    organs: Mapping[int, str] | None = None,
) -> LayerData:
    """A scan's label map as an editable layer, in the colours used in all pictures.

    Args:
        scan: the scan.
        labels: its label map.
        name: of the layer.
        organs: label value to organ name, shown in the status bar.
    """
    known = {int(v): f"label {v}" for v in np.unique(labels) if v} | dict(organs or {})
    colours = {value: to_rgba(colour_of(value)) for value in known}
    return (
        np.array(reorient(labels, scan.affine, UPRIGHT), order="C"),  # a copy, for editing
        {
            **_placed(scan),
            "name": name,
            "colormap": {0: "transparent", None: "white", **colours},
            "features": {"index": [0, *known], "organ": ["", *known.values()]},
        },
        "labels",
    )


def scan_of(layer: Any) -> Scan:
    """The scan of an image layer; for layers not made by gmrd, from its data and scale.

    Raises:
        InputError: the layer is not 3-D.
    """
    if SCAN in layer.metadata:
        kept: Scan = layer.metadata[SCAN]
        return kept
    if layer.data.ndim != 3:
        raise InputError(f"layer {layer.name} has {layer.data.ndim} dimensions: expected 3")
    made = as_scan((np.asarray(layer.data), tuple(float(step) for step in layer.scale)))
    return Scan(layer.name, made.image, made.affine, source=f"layer {layer.name}")


def labels_of(layer: Any, scan: Scan) -> Int32[np.ndarray, "z y x"]:
    """The labels of a layer, on the scan's own voxels.

    Raises:
        InputError: they do not fit this scan.
    """
    drawn = np.asarray(layer.data)
    if SCAN in layer.metadata:
        drawn = restore(drawn, layer.metadata[SCAN].affine, UPRIGHT)
    return as_label(drawn, scan)


def _placed(scan: Scan) -> Mapping[str, Any]:
    return {"scale": reoriented_spacing(scan.affine, UPRIGHT), "metadata": {SCAN: scan}}
