"""Layers are upright, and what is drawn on them returns to the scan's own voxels."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gmrd.errors import InputError
from gmrd.io.readers import read_label, read_scan
from gmrd.io.scan import Scan
from gmrd.viewer.files import reader_of, write_layer
from gmrd.viewer.layers import image_layer, labels_layer, labels_of, scan_of
from helpers.scans import affine, ball, write

CORONAL = np.array([[0, 0, 3.0, 5], [0, 2.0, 0, 6], [-1.0, 0, 0, 7], [0, 0, 0, 1]])


class Layer:
    """What napari keeps of layer data."""

    def __init__(self, data: np.ndarray, arguments: dict[str, object], _: str = "") -> None:
        self.data, self.name = data, arguments.get("name", "layer")
        self.metadata, self.scale = arguments.get("metadata", {}), arguments.get("scale", (1, 1, 1))


@pytest.mark.parametrize("matrix", [affine(), CORONAL, np.diag([2.0, 1, 5, 1])])
def test_what_is_drawn_returns_to_the_scan(matrix: np.ndarray) -> None:
    image, labels = ball(1)
    scan = Scan("b", image, matrix)
    shown, drawn = Layer(*image_layer(scan)), Layer(*labels_layer(scan, labels, "b labels"))
    assert shown.data.shape == drawn.data.shape
    assert scan_of(shown) is scan
    assert (labels_of(drawn, scan) == labels).all()
    front = nib.affines.apply_affine(matrix, [[0, 0, 0]])[0] + [0, 30, 0]  # ahead of the patient
    voxel = nib.affines.apply_affine(np.linalg.inv(matrix), front).round().astype(int)
    x, y, z = (np.clip(v, 0, n - 1) for v, n in zip(voxel, image.shape[::-1], strict=True))
    marked = np.zeros_like(labels)
    marked[z, y, x] = 9
    upright = Layer(*labels_layer(scan, marked, "m")).data
    origin = np.zeros_like(labels)
    origin[0, 0, 0] = 9
    rows = [np.argwhere(a == 9)[0][1] for a in (upright, labels_layer(scan, origin, "o")[0])]
    assert rows[0] < rows[1]


def test_a_drawing_does_not_change_the_loops_own_map() -> None:
    image, labels = ball(1)
    scan = Scan("b", image, np.diag([-2.0, -1, 5, 1]))  # upright already
    drawn, arguments, _ = labels_layer(scan, labels, "x", {4: "spleen"})
    drawn[0] = 7
    assert not (labels == 7).any()
    assert arguments["features"] == {"index": [0, 1, 4], "organ": ["", "label 1", "spleen"]}
    assert arguments["colormap"].keys() == {0, None, 1, 4}, "what was not found can be drawn, too"


def test_files_are_read_as_what_they_are_and_written_in_place(tmp_path: Path) -> None:
    image = write(tmp_path / "a.nii.gz", ball(1)[0], affine())
    label = write(tmp_path / "a_seg.nii.gz", ball(1)[1] * 3, affine())
    assert reader_of(str(tmp_path / "a.png")) is None
    assert reader_of(str(tmp_path)) is None
    files = [str(image), str(label)]
    layers = reader_of(files)(files)
    assert [kind for *_, kind in layers] == ["image", "labels"]
    data, arguments, _ = layers[1]
    for name in ("copy.nii.gz", "copy.seg.nrrd"):
        (path,) = write_layer(str(tmp_path / name), data, arguments)
        assert (read_label(path, read_scan(image)) == ball(1)[1] * 3).all()


def test_layers_from_elsewhere_need_three_dimensions() -> None:
    with pytest.raises(InputError, match="layer flat has 2 dimensions"):
        scan_of(Layer(np.zeros((4, 5)), {"name": "flat"}))
    made = scan_of(Layer(ball(1)[0], {"name": "own", "scale": (5.0, 2.0, 2.0)}))
    assert (made.name, made.spacing) == ("own", (5, 2, 2))
