"""Reading scans and writing label maps for napari."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gmrd.io.formats import READABLE_EXTENSIONS
from gmrd.io.marks import holds_slices
from gmrd.io.readers import read_scan
from gmrd.predict.batch import looks_like_labels
from gmrd.predict.label_files import write_labels
from gmrd.viewer.layers import LayerData, image_layer, labels_layer, labels_of, scan_of


def reader_of(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """The reader, if all paths are scans or folders of DICOM series; else None."""
    return read if all(_is_readable(Path(place)) for place in _each(path)) else None


def read(path: str | list[str]) -> list[LayerData]:
    """A layer for each file: label maps as labels, everything else as images.

    Raises:
        InputError: a file is refused.
    """
    return [_layer(place) for place in _each(path)]


def write_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save a labels layer in its scan's geometry.

    Raises:
        InputError: the extension is unknown, or the file cannot be written.
    """
    layer = _Held(data, meta)
    scan = scan_of(layer)
    labels = labels_of(layer, scan)
    names = {int(value): f"label_{value}" for value in np.unique(labels) if value}
    return [str(write_labels(Path(path), scan, labels, names))]


class _Held:
    """A layer as napari passes it to a writer."""

    def __init__(self, data: Any, meta: dict[str, Any]) -> None:
        self.data, self.name = data, meta.get("name", "labels")
        self.metadata, self.scale = meta.get("metadata", {}), meta.get("scale", (1.0, 1.0, 1.0))


def _layer(place: str) -> LayerData:
    scan = read_scan(place)
    if looks_like_labels(scan.image):
        return labels_layer(scan, scan.image.astype(np.int32), scan.name)
    return image_layer(scan)


def _is_readable(place: Path) -> bool:
    if place.is_dir():
        return holds_slices(place)
    return place.name.lower().endswith(READABLE_EXTENSIONS)


def _each(path: str | list[str]) -> list[str]:
    return [path] if isinstance(path, str) else list(path)
