"""What a prediction is: the organs on the scan's own voxels, their volumes and the doubts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Num, UInt
from scipy import ndimage

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
        findings: what speaks against trusting the result; empty if nothing does.
        quality: organ name to its estimated Dice, 0 to 1; nan where nothing was found.
        similarity: for each support, the share of the query's places whose matches in it lead
            back to them.
        seconds: time taken, without reading the files.
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
        """Image, labels and voxel size (z, y, x) as radiologists look at them.

        Slices are seen from below, the patient's front on top.
        """
        affine = self.scan.affine
        return (
            reorient(self.scan.image, affine, UPRIGHT),
            reorient(self.labels, affine, UPRIGHT),
            reoriented_spacing(affine, UPRIGHT),
        )

    def save(self, path: str | Path) -> Path:
        """Write the label map in the scan's own geometry.

        The format goes by the ending, see :func:`gmrd.predict.label_files.write_labels`.
        """
        return write_labels(Path(path), self.scan, self.labels, self.names, description=MARK)


def label_map(
    probabilities: Mapping[int, Float32[np.ndarray, "z y x"]], *, largest_component: bool
) -> UInt[np.ndarray, "z y x"]:
    """One map of label values: where several organs claim a voxel, the most probable has it."""
    values = list(probabilities)
    stored = np.min_scalar_type(max(values))
    best = np.full(next(iter(probabilities.values())).shape, 0.5, dtype=np.float32)
    labels = np.zeros(best.shape, dtype=stored)
    for value, probability in probabilities.items():
        claimed = probability > best
        labels[claimed] = value
        best = np.where(claimed, probability, best)
    if largest_component:
        for value in values:
            labels[(labels == value) & ~_largest(labels == value)] = 0
    return labels


def _largest(mask: Bool[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    pieces, n_pieces = ndimage.label(mask)
    if n_pieces <= 1:
        return mask
    return np.asarray(pieces == 1 + np.bincount(pieces.ravel())[1:].argmax())
