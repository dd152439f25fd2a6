"""The dock widget: open, segment, browse drafts, correct them, update the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error
from napari.viewer import Viewer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gmrd.errors import InputError
from gmrd.predict.label_files import write_labels
from gmrd.viewer.layers import image_layer, labels_layer, labels_of, scan_of
from gmrd.viewer.loops import Loop, OpenScans, ProjectLoop, Row

NAME = Qt.ItemDataRole.UserRole
KINDS = "NIfTI (*.nii.gz *.nii);;3D Slicer (*.seg.nrrd)"


def saying_why(method: Callable[..., None]) -> Callable[..., None]:
    """Show refused input as a napari notification."""

    @wraps(method)
    def shown(self: Any, *arguments: Any) -> None:
        try:
            method(self, *arguments)
        except InputError as error:
            show_error(str(error))

    return shown


class LoopWidget(QWidget):  # type: ignore[misc]
    """Annotate one scan, segment the others, correct the worst draft, update the rest.

    Works on a project's folder or on the open layers; both implement :class:`Loop`.
    """

    progressed = Signal(str, int, int)

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer  # the name that napari looks for
        self.loop: Loop | None = None
        self.shown: str | None = None
        self.layers: list[Any] = []
        self.corrected: dict[str, np.ndarray] = {}
        self.original: np.ndarray = np.zeros(0)
        self.worker: Any = None
        self._lay_out()
        self.progressed.connect(self._progress)
        self.viewer.layers.events.inserted.connect(self._list_layers)
        self.viewer.layers.events.removed.connect(self._list_layers)
        self._list_layers()

    # Actions of the buttons.

    @saying_why
    def open_project(self, folder: str = "") -> None:
        """Work on a project's folder; asks for it if none is given."""
        folder = folder or QFileDialog.getExistingDirectory(self, "Folder of the project")
        if folder:
            self._begin(ProjectLoop(Path(folder)), Path(folder).name)

    @saying_why
    def use_layers(self) -> None:
        """Work on the open image layers, one of which is annotated."""
        images = {layer.name: layer for layer in self.viewer.layers if isinstance(layer, Image)}
        chosen, labels = self.image.currentText(), self.labels.currentText()
        if not chosen or not labels:
            raise InputError("open an annotated scan as an image and its label map as labels")
        scans = {name: scan_of(layer) for name, layer in images.items()}
        drawn = labels_of(self.viewer.layers[labels], scans[chosen])
        self._begin(OpenScans(scans, chosen, drawn), f"{len(scans)} open scans")
        self.update_drafts()

    @saying_why
    def update_drafts(self) -> None:
        """Segment outdated scans in a thread."""
        if self.loop is None or self.worker is not None:
            return
        update, tell = self.loop.update, self.progressed.emit
        # napari makes a yielding worker only of a generator function.
        self.worker = create_worker(lambda: (yield from update(tell)))
        self.worker.yielded.connect(self._finished_one)
        self.worker.errored.connect(lambda error: show_error(str(error)))
        self.worker.finished.connect(self._finished)
        self._enable()
        self.worker.start()

    def stop(self) -> None:
        """Stop after the current scan."""
        if self.worker is not None:
            self.worker.quit()
            self.state.setText("stopping after this scan")

    @saying_why
    def show_scan(self, name: str) -> None:
        """Show a scan with its labels."""
        if self.loop is None or name == self.shown:
            return
        self._keep_corrections()
        self._replace_layers(name)
        self._mark_row()

    def step(self, by: int) -> None:
        """Move down or up in the list."""
        self.rows.setCurrentRow(max(0, min(self.rows.count() - 1, self.rows.currentRow() + by)))

    @saying_why
    def add_support(self) -> None:
        """Make the current label map a support, and update the rest."""
        loop, name, drawn = self._drawn()
        if self.worker is not None:
            raise InputError("drafts are being updated: wait, or stop it")
        loop.annotate(name, drawn)
        self.corrected.pop(name, None)
        self.original = self.layers[1].data.copy()
        self._list_rows(loop.rows())
        self.update_drafts()

    @saying_why
    def save(self, path: str = "") -> None:
        """Save the current label map in its scan's geometry; asks where if no path is given."""
        loop, name, drawn = self._drawn()
        path = (
            path
            or QFileDialog.getSaveFileName(
                self,
                "Label map",
                f"{name}_seg.nii.gz",
                KINDS,
            )[0]
        )
        if path:
            known = loop.names()
            values = [int(value) for value in np.unique(drawn) if value]
            names = {value: known.get(value, f"label_{value}") for value in values}
            written = write_labels(Path(path), scan_of(self.layers[0]), drawn, names)
            self.state.setText(f"saved: {written}")

    # Their consequences.

    def _begin(self, loop: Loop, title: str) -> None:
        rows = loop.rows()
        self.loop, self.shown, self.corrected = loop, None, {}
        self.title.setText(title)
        self._list_rows(rows)
        self._enable()
        self.step(0)

    def _replace_layers(self, name: str) -> None:
        assert self.loop is not None
        scan, found = self.loop.read(name)
        found = np.zeros(scan.image.shape, dtype=np.int32) if found is None else found
        for layer in list(self.viewer.layers):
            if layer in self.layers:
                self.viewer.layers.remove(layer)
            else:
                layer.visible = False
        data, arguments, _ = image_layer(scan)
        image = self.viewer.add_image(data, **arguments)
        title = f"{name} labels"
        self.original = labels_layer(scan, found, title)[0]
        drawing, organs = self.corrected.get(name, found), self.loop.names()
        data, arguments, _ = labels_layer(scan, drawing, title, organs)
        drawn = self.viewer.add_labels(data, opacity=0.5, **arguments)
        self.layers, self.shown = [image, drawn], name
        self.viewer.layers.selection.active = drawn
        self.viewer.reset_view()
        held = np.flatnonzero(data.any(axis=(1, 2)))
        middle = held[len(held) // 2] if held.size else len(data) // 2
        self.viewer.dims.set_point(0, middle * drawn.scale[0])

    def _drawn(self) -> tuple[Loop, str, np.ndarray]:
        """The loop, the current scan's name, and its labels on the scan's own voxels."""
        if self.loop is None or self.shown is None or self.layers[1] not in self.viewer.layers:
            raise InputError("no scan of the list is shown: open a project or use the open layers")
        return self.loop, self.shown, labels_of(self.layers[1], scan_of(self.layers[0]))

    def _is_corrected(self) -> bool:
        there = self.shown is not None and self.layers[1] in self.viewer.layers
        return there and not np.array_equal(self.layers[1].data, self.original)

    def _keep_corrections(self) -> None:
        """Keep changes to the current scan's labels until it is shown again."""
        if self._is_corrected():
            _, name, self.corrected[name] = self._drawn()

    def _finished_one(self, result: tuple[str, list[Row]]) -> None:
        name, rows = result
        if name == self.shown and not self._is_corrected():
            self._replace_layers(name)
        self._list_rows(rows)

    def _finished(self) -> None:
        self.worker = None
        self.bar.setVisible(False)
        self.state.setText("")
        self._enable()

    def _progress(self, step: str, done: int, total: int) -> None:
        self.state.setText(step)
        self.bar.setVisible(True)
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _list_rows(self, rows: list[Row]) -> None:
        self.rows.blockSignals(True)
        self.rows.clear()
        for row in rows:
            item = QListWidgetItem(f"{row.name}   {row.remark}")
            item.setData(NAME, row.name)
            self.rows.addItem(item)
        self.rows.blockSignals(False)
        self._mark_row()

    def _mark_row(self) -> None:
        """Select the current scan in the list."""
        self.rows.blockSignals(True)
        for number in range(self.rows.count()):
            if self.rows.item(number).data(NAME) == self.shown:
                self.rows.setCurrentRow(number)
        self.rows.blockSignals(False)

    def _list_layers(self, event: Any = None) -> None:
        """List the open layers in the menus."""
        for box, kind in ((self.image, Image), (self.labels, Labels)):
            chosen = box.currentText()
            box.clear()
            box.addItems([layer.name for layer in self.viewer.layers if isinstance(layer, kind)])
            box.setCurrentIndex(max(0, box.findText(chosen)))

    def _enable(self) -> None:
        """Enable the buttons that apply now."""
        open_, busy = self.loop is not None, self.worker is not None
        for button in (self.update_button, self.add_button):
            button.setEnabled(open_ and not busy)
        for button in (self.previous_button, self.next_button, self.save_button):
            button.setEnabled(open_)
        self.stop_button.setEnabled(busy)
        for button in (self.open_button, self.layers_button):
            button.setEnabled(not busy)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        self.open_button = _button("Open project…", self.open_project)
        column.addWidget(self.open_button)
        box = QGroupBox("or the open layers")
        form = QFormLayout(box)
        self.image, self.labels = QComboBox(), QComboBox()
        form.addRow("Annotated scan", self.image)
        form.addRow("Its labels", self.labels)
        self.layers_button = _button("Segment the others", self.use_layers)
        form.addRow(self.layers_button)
        column.addWidget(box)
        self.title = QLabel("No project")
        self.rows = QListWidget()
        self.rows.currentRowChanged.connect(self._row_chosen)
        column.addWidget(self.title)
        column.addWidget(QLabel("Drafts, those to check first at the top:"))
        column.addWidget(self.rows)
        self.previous_button = _button("Previous", lambda: self.step(-1))
        self.next_button = _button("Next", lambda: self.step(1))
        column.addLayout(_beside(self.previous_button, self.next_button))
        self.add_button = _button("Add as support and update the rest", self.add_support)
        self.update_button = _button("Update drafts", self.update_drafts)
        self.stop_button = _button("Stop", self.stop)
        self.save_button = _button("Save label map…", self.save)
        column.addWidget(self.add_button)
        column.addLayout(_beside(self.update_button, self.stop_button))
        column.addWidget(self.save_button)
        self.bar, self.state = QProgressBar(), QLabel("")
        self.bar.setVisible(False)
        self.state.setWordWrap(True)
        column.addWidget(self.bar)
        column.addWidget(self.state)
        self._enable()

    def _row_chosen(self, number: int) -> None:
        if number >= 0:
            self.show_scan(self.rows.item(number).data(NAME))


def _button(text: str, pressed: Callable[[], None]) -> QPushButton:
    button = QPushButton(text)
    button.clicked.connect(lambda _: pressed())
    return button


def _beside(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row
