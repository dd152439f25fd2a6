"""Painting on a draft's slices, and the page's table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gmrd.predict.brush import SIDE, factor, grey_picture, painted, tint
from gmrd.predict.desk import Desk
from helpers.loop import Threshold, new_project
from helpers.scans import affine, ball, write

VALUES = [1, 4, 600]


def test_what_is_not_painted_on_stays() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice([0, *VALUES], size=(37, 50)).astype(np.int32)
    layer = tint(labels, VALUES)
    assert layer.shape == (SIDE, SIDE, 4)
    assert (painted([layer], VALUES, labels.shape) == labels).all()
    blurred = np.clip(layer.astype(int) + rng.integers(-4, 5, layer.shape), 0, 255)
    assert (painted([blurred.astype(np.uint8)], VALUES, labels.shape) == labels).all()
    assert not painted([], VALUES, labels.shape).any()


def test_strokes_and_erasure_count() -> None:
    labels = np.zeros((600, 600), dtype=np.int32)
    labels[100:200, 100:200] = 1
    layer = tint(labels, VALUES)
    assert factor(labels.shape) == 1
    layer[150:160, 150:160] = 0  # erased
    stroke = np.zeros_like(layer)
    stroke[300:310, 300:310] = (*tint(np.array([[4]], dtype=np.int32), VALUES)[0, 0, :3], 255)
    found = painted([layer, stroke], VALUES, labels.shape)
    labels[150:160, 150:160] = 0
    labels[300:310, 300:310] = 4
    assert (found == labels).all()
    grey = grey_picture(np.array([[0.0, 5.0, 20.0]]), (0.0, 10.0))
    assert grey[0, :: factor((1, 3)), 0].tolist() == [0, 127, 255]
    assert factor((SIDE + 1, 5)) == 0


def test_a_painted_draft_becomes_a_support(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threshold = Threshold()
    threshold.replace_matching(monkeypatch)
    project = new_project(tmp_path)
    project.add(page=True)
    list(project.update())
    desk = Desk(project)
    assert (desk.name, desk.names, desk.paintable) == ("scan_1", {1: "ball"}, True)
    assert [name for _, name in desk.choices()] == ["scan_1", "scan_2", "scan_3"]
    assert "<td>scan_1</td><td>10 %, 1</td>" in desk.table()
    desk.show("scan_2")
    assert desk.file("page").is_file()
    _, layer = desk.pictures()
    step = factor(desk.labels.shape[1:])
    layer[: 3 * step, : 2 * step] = layer.max(axis=(0, 1))
    desk.keep([layer])
    desk.add_support(None)
    kept = project.labels("scan_2")
    expected = threshold(project.scan("scan_2")).labels.astype(np.int32)
    changed = np.argwhere(kept != expected)
    # The upper left corner of the upright slice: the array's columns run to the left already.
    assert len(changed) == 6
    assert {z for z, _, _ in changed.tolist()} == {desk.slice}
    desk.refresh()
    assert list(desk.records) == ["scan_1", "scan_3"]
    corrected = write(tmp_path / "corrected.nii.gz", ball(1)[1], affine())
    desk.add_support(str(corrected))
    assert (project.labels("scan_1") == ball(1)[1]).all()
