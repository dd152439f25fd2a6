"""Projects of small balls, with a threshold in the place of matching."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gmrd.io.scan import Scan
from gmrd.predict.project import Project
from gmrd.predict.result import Segmentation
from gmrd.predict.settings import Settings
from helpers.scans import affine, ball, write


class Threshold:
    """Segments bright voxels; remembers what it was given."""

    organ = "ball"

    def __init__(self, seconds: float = 0.0) -> None:
        self.seen: list[str] = []
        self.supports: list[tuple[str, str]] = []
        self.seconds = seconds

    def replace_matching(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Settings, "predictor", self.predictor)

    def predictor(self, pairs: object, progress: object = None) -> Callable[[Scan], Segmentation]:
        self.supports = [(Path(image).name, Path(label).name) for image, label in pairs]
        return self

    def __call__(self, scan: Scan) -> Segmentation:
        time.sleep(self.seconds)
        self.seen.append(scan.name)
        labels = (scan.image > 170).astype(np.uint8)
        quality = float(scan.name[-1]) / 10 if scan.name[-1].isdigit() else 0.5
        return Segmentation(
            scan, labels, {1: labels.astype(np.float32)}, {1: self.organ}, {self.organ: 1.0}, (),
            {self.organ: quality}, (quality,) * max(1, len(self.supports)), 0.1,
        )  # fmt: skip


def new_project(folder: Path, n_scans: int = 3) -> Project:
    """``folder/study`` with scans inside: scan_0, annotated, and ``n_scans`` others."""
    scans = folder / "study" / "scans"
    scans.mkdir(parents=True)
    for number in range(n_scans + 1):
        write(scans / f"scan_{number}.nii.gz", ball(number)[0], affine())
    label = write(folder / "study" / "first.nii.gz", ball(0)[1], affine())
    return Project.create(folder / "study", [(scans / "scan_0.nii.gz", label)], scans, page=False)


def correct(file: Path) -> np.ndarray:
    """Change a draft as a viewer would: another file of the same name and place."""
    labels = ball(5)[1]
    write(file, labels, affine())
    return labels
