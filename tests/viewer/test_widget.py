"""The dock widget in a real window, on a project and on plain layers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gmrd.io.readers import read_label, read_scan
from helpers.loop import Threshold, new_project
from helpers.scans import affine, ball, read, write

pytest.importorskip("napari", reason="the viewer: install gmrd[napari]")
pytest.importorskip("qtpy.QtWidgets", reason="Qt for the viewer", exc_type=ImportError)


@pytest.fixture
def widget(viewer: Any) -> Any:
    """The plugin, as napari itself makes it from the manifest."""
    _, made = viewer.window.add_plugin_dock_widget("gmrd", "Annotate, predict, correct")
    return made


def wait(condition: Callable[[], bool], seconds: float = 120) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        QApplication.processEvents()
        time.sleep(0.01)


def names(widget: Any) -> list[str]:
    return [widget.rows.item(row).text().split()[0] for row in range(widget.rows.count())]


def test_a_project_is_paged_corrected_and_updated(
    widget: Any, viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold = Threshold()
    threshold.replace_matching(monkeypatch)
    project = new_project(tmp_path)
    widget.open_project(str(project.folder))
    assert names(widget) == ["scan_1", "scan_2", "scan_3"]
    widget.update_button.click()
    assert not widget.add_button.isEnabled()
    wait(lambda: widget.worker is None)
    assert threshold.seen == ["scan_1", "scan_2", "scan_3"]
    assert "est. Dice 10 %" in widget.rows.item(0).text()
    assert widget.layers[1].data.any(), "the new draft of the shown scan is shown"

    widget.next_button.click()
    assert widget.shown == "scan_2"
    image, drawn = widget.layers
    assert image.visible
    assert drawn.scale.tolist() == [5, 2, 2]
    drawn.paint((3, 4, 5), 1)  # napari's own brush
    assert drawn.data[3, 4, 5] == 1
    widget.next_button.click()
    widget.previous_button.click()
    assert widget.layers[1].data[3, 4, 5] == 1, "what was drawn is kept while paging"
    widget.add_button.click()
    wait(lambda: widget.worker is None)
    assert threshold.supports[1] == ("scan_2.nii.gz", "scan_2.nii.gz")
    assert threshold.seen[3:] == ["scan_1", "scan_3"]
    assert names(widget) == ["scan_1", "scan_3", "scan_2"]
    assert "annotated" in widget.rows.item(2).text()
    drawn_by_hand = project.labels("scan_2")
    expected = read(tmp_path / "study/scans/scan_2.nii.gz")[0] > 170
    changed = drawn_by_hand != expected
    assert 0 < changed.sum() < 400
    widget.save(str(tmp_path / "saved.seg.nrrd"))
    scan = read_scan(tmp_path / "study/scans/scan_2.nii.gz")
    assert (read_label(tmp_path / "saved.seg.nrrd", scan) == drawn_by_hand).all()


def test_plain_layers_are_segmented_without_freezing(
    widget: Any, viewer: Any, tmp_path: Path
) -> None:
    files = {}
    for seed, name in enumerate(("a", "b"), start=1):
        files[name] = write(tmp_path / f"{name}.nii.gz", ball(seed)[0], affine())
    files["a_seg"] = write(tmp_path / "a_seg.nii.gz", ball(1)[1], affine())
    viewer.open([str(files[name]) for name in ("a", "b", "a_seg")], plugin="gmrd")
    assert [layer.name for layer in viewer.layers] == ["a", "b", "a_seg"]
    widget.image.setCurrentText("a")
    looks = []
    widget.layers_button.click()
    wait(lambda: looks.append(1) or widget.worker is None)
    assert len(looks) > 10, "the window stood still while the scan was segmented"
    assert names(widget) == ["b", "a"]
    assert widget.shown == "b"
    found, truth = widget.loop.drafts["b"], ball(2)[1]
    assert 2 * (found * truth).sum() / (found.sum() + truth.sum()) > 0.7
    assert [layer.name for layer in viewer.layers if layer.visible] == ["b [1]", "b labels"]


def test_what_is_refused_is_shown(widget: Any, viewer: Any, tmp_path: Path) -> None:
    from napari.utils.notifications import notification_manager

    before = len(notification_manager.records)
    widget.open_project(str(tmp_path))
    widget.use_layers()
    widget.add_support()
    said = [note.message for note in notification_manager.records[before:]]
    assert "holds no project.yaml" in said[0]
    assert said[1] == "open an annotated scan as an image and its label map as labels"
    assert said[2].startswith("no scan of the list is shown")
    assert not widget.save_button.isEnabled()
