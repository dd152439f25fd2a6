"""The result of a prediction: organs on the scan's own voxels, volumes and findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Num, UInt

from gmrd.io.marks import MARK
from gmrd.io.orientation import UPRIGHT, reorient, reoriented_spacing
from gmrd.io.scan import Scan
from gmrd.predict.judgement import Finding
from gmrd.predict.label_files import write_labels


@dataclass(frozen=True)
class Segmentation:
    """The organs found in a scan, on the scan's own voxels.

    Attributes:
        scan: the query.
        labels: label map (z, y, x) with the label values of the supports.
        probabilities: label value to foreground probability (z, y, x).
        names: label value to organ name.
        volumes_ml: organ name to volume in millilitres.
        findings: reasons to doubt the result; empty if there are none.
        quality: organ name to estimated Dice, 0 to 1; nan if the organ was not found.
        similarity: for each support, the share of the query's positions whose matches in it are
            cycle consistent.
        seconds: time taken, without reading files.
    """

    scan: Scan
    labels: UInt[np.ndarray, "z y x"]
    probabilities: Mapping[int, Float32[np.ndarray, "z y x"]] = field(repr=False)
    names: Mapping[int, str]
    volumes_ml: Mapping[str, float]
    findings: tuple[Finding, ...]
    quality: Mapping[str, float]
    similarity: tuple[float, ...]
    seconds: float

    def upright(
        self,
    ) -> tuple[Num[np.ndarray, "z y x"], UInt[np.ndarray, "z y x"], tuple[float, float, float]]:
        """Image, labels and voxel size (z, y, x) in radiological orientation.

        Slices are seen from below, with anterior at the top.
        """
        affine = self.scan.affine
        return (
            reorient(self.scan.image, affine, UPRIGHT),
            reorient(self.labels, affine, UPRIGHT),
            reoriented_spacing(affine, UPRIGHT),
        )

    def save(self, path: str | Path) -> Path:
        """Write the label map in the scan's own geometry.

        The extension decides the format, see :func:`gmrd.predict.label_files.write_labels`.
        """
        return write_labels(Path(path), self.scan, self.labels, self.names, description=MARK)
