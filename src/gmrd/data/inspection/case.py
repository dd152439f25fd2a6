"""The checks of one case: its image, its label and its supervoxels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar

import nibabel as nib
import numpy as np
from jaxtyping import Float, Num

from gmrd.data.cases import Case
from gmrd.data.inspection.findings import Finding, Portrait, Severity
from gmrd.data.prepare.sources import refuse_reversed
from gmrd.data.supervoxel_files import MARK, Supervoxels, fingerprint, mark_of
from gmrd.data.volume import ODD_SIZE, as_label
from gmrd.errors import InputError
from gmrd.io.agreement import WRONG_HEADER, refuse_other_place, refuse_other_shape
from gmrd.io.readers import read_scan

T = TypeVar("T")
Image = Num[np.ndarray, "z y x"]


@dataclass
class CaseInspection:
    """Collects the findings of a case; :meth:`run` runs all checks."""

    case: Case
    classes: Mapping[int, str]
    label_values: Mapping[int, int]
    supervoxels: Supervoxels
    min_area: float = 200.0
    findings: list[Finding] = field(default_factory=list)

    def run(self) -> Portrait:
        """All checks, each as far as the files allow."""
        scan = self._attempt(lambda: read_scan(self.case.image, dtype=np.float64))
        if scan is None:
            return Portrait(self.case.case_id, findings=tuple(self.findings))
        image, affine = scan.image, scan.affine
        self._check_image(image)
        label = self._check_label(image, affine)
        shown = np.zeros(image.shape, np.uint8) if label is None else label
        z = int((shown > 0).sum(axis=(1, 2)).argmax()) if shown.any() else len(image) // 2
        values, counts = np.unique(shown, return_counts=True)
        portrait = Portrait(
            case_id=self.case.case_id,
            shape=image.shape[::-1],
            spacing=scan.spacing[::-1],
            orientation="".join(nib.aff2axcodes(affine)),
            directions=affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0),
            digest=hashlib.sha256(np.ascontiguousarray(image).data).hexdigest(),
            n_supervoxels=self._check_supervoxels(image),
            class_voxels={int(v): int(n) for v, n in zip(values, counts, strict=True) if v},
            picture=(image[z].astype(np.float32), shown[z]),
        )
        return replace(portrait, findings=tuple(self.findings))

    def _add(self, severity: Severity, what: str, meaning: str) -> None:
        self.findings.append(Finding(severity, self.case.case_id, what, meaning))

    def _attempt(self, read: Callable[[], T], severity: Severity = "error") -> T | None:
        """The result, or None and the error as a finding."""
        try:
            return read()
        except InputError as error:
            what, _, meaning = str(error).partition(": ")
            self._add(severity, what, meaning or "training and evaluation refuse it")
            return None

    def _check_image(self, image: Image) -> None:
        if image.min() == image.max():
            self._add("error", f"the image is {image.min():g} everywhere", "it shows nothing")
        if len(image) == 1:
            self._add(
                "error",
                "the image is a single slice",
                "supervoxels and episodes need neighbouring slices: leave it out with "
                f"data.exclude=[{self.case.case_id}]",
            )
        if image.shape[1:] == (ODD_SIZE, ODD_SIZE):
            self._add(
                "note",
                f"slices are {ODD_SIZE}×{ODD_SIZE}",
                "a public resampler makes them this size; the last row and column are dropped",
            )
        elif image.shape[1] != image.shape[2]:
            self._add(
                "warning",
                f"slices are {image.shape[2]}×{image.shape[1]}, not square",
                "they are stretched to the network's square; gmrd-prepare crops or pads instead",
            )

    def _check_label(self, image: Image, affine: Float[np.ndarray, "4 4"]) -> Image | None:
        path = self.case.label
        read = None if path is None else self._attempt(lambda: read_scan(path, dtype=np.int32))
        if path is None or read is None:
            return None

        def checked() -> Image:
            refuse_other_shape(path, read.image, image)
            return as_label(path, read.image, self.label_values)

        label = self._attempt(checked)
        if label is None:
            return None
        self._attempt(
            lambda: refuse_other_place(path, read.affine, affine, image.shape, remedy=WRONG_HEADER)
        )
        self._attempt(lambda: refuse_reversed(path, image, label), "warning")
        absent = [name for c, name in self.classes.items() if not (label == c).any()]
        if absent:
            self._add(
                "warning",
                f"no voxel is {', '.join(absent)}",
                "the case is neither support nor query for that class",
            )
        return label

    def _check_supervoxels(self, image: Image) -> int | None:
        path = self.case.pseudo_label
        if not path.is_file():
            self._add("note", f"no supervoxels at {path}", "training makes them when it starts")
            return None

        def checked() -> Image:
            array = read_scan(path, dtype=np.int32).image
            refuse_other_shape(path, array, image)
            return array

        labels = self._attempt(checked)
        if labels is None:
            return None
        for finding in self._age_of_supervoxels():
            self._add(*finding)
        largest = max(np.bincount(plane.ravel())[1:].max(initial=0) for plane in labels)
        if largest < self.min_area:
            self._add(
                "warning",
                f"no supervoxel has {self.min_area:g} pixels in a slice",
                "no episode is drawn from this case: look at the supervoxels' min_size and scale",
            )
        return len(np.unique(labels[labels > 0]))

    def _age_of_supervoxels(self) -> Iterator[tuple[Severity, str, str]]:
        mark = mark_of(self.case.pseudo_label)
        if not mark.startswith(MARK):
            yield (
                "note",
                "the supervoxels were not made by gmrd",
                "they are used unchanged; whether they match the image cannot be checked",
            )
        elif mark != MARK + fingerprint(self.case.image, asdict(self.supervoxels)):
            yield (
                "warning",
                "the supervoxels are out of date",
                "the image or the settings have changed; gmrd-supervoxels recomputes them",
            )
