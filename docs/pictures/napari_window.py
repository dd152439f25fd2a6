"""Draw the plugin's window on phantoms: ``make pictures``; needs a display, or Xvfb."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtWidgets import QApplication

import gmrd
from gmrd.data.phantom import make_phantom

PICTURE = Path(__file__).with_name("napari.png")
NAMES = {1: "liver", 2: "right kidney", 3: "left kidney", 4: "spleen"}
WINDOW = (1240, 760)


def main() -> None:
    """Make a project, open it, correct a draft, and save the picture."""
    with tempfile.TemporaryDirectory() as place:
        folder = project(Path(place))
        viewer = napari.Viewer(show=True)
        viewer.window.resize(*WINDOW)
        _, widget = viewer.window.add_plugin_dock_widget("gmrd", "Annotate, predict, correct")
        widget.open_project(str(folder))
        widget.step(1)
        labels = widget.layers[1]
        labels.mode, labels.brush_size = "paint", 8
        for _ in range(20):
            QApplication.processEvents()
            time.sleep(0.05)
        picture = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False))
        picture.convert("RGB").quantize(128).save(PICTURE, optimize=True)
        viewer.close()


def project(place: Path) -> Path:
    """A project of six phantoms, all drafts made, one of them annotated."""
    made = make_phantom(place, n_cases=6, seed=4, size=128)
    scans = place / "scans"
    scans.mkdir()
    for case in range(1, 7):
        (made / f"image_{case}.nii.gz").rename(scans / f"patient_{case}.nii.gz")
    support = [(scans / "patient_1.nii.gz", made / "label_1.nii.gz")]
    study = gmrd.Project.create(place / "study", support, scans, names=NAMES)
    study.annotate("patient_5", made / "label_5.nii.gz")
    for step in study.update():
        print(step.record["name"])
    return study.folder


if __name__ == "__main__":
    main()
