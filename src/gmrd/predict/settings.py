"""What a segmentation depends on beside the scan and its supports, for commands and projects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from gmrd.io.dicom_reference import refuse_without_series
from gmrd.io.dicom_seg import check_writable
from gmrd.io.digest import digest
from gmrd.io.scan import Scan
from gmrd.matching.scan import Progress, silent
from gmrd.predict.batch import Batch
from gmrd.predict.geometry import TrainingGeometry
from gmrd.predict.intensity import Intensity
from gmrd.predict.options import Options
from gmrd.predict.outputs import write_outputs
from gmrd.predict.result import Segmentation
from gmrd.predict.segmentation import UNTRAINED, Predictor
from gmrd.predict.store import code_digest, default_store
from gmrd.predict.triage import Record

FORMATS = {
    "nifti": ".nii.gz",
    "seg_nrrd": ".seg.nrrd",
    "dicom_seg": ".dcm",
    "rtstruct": ".rt.dcm",
}
"""Endings of label maps by their formats."""

CHECKS: Mapping[str, Callable[[Scan], None]] = {
    "dicom_seg": check_writable,
    "rtstruct": partial(refuse_without_series, kind="RT structure set"),
}
"""What refuses a scan that has no label map of the format, before the work."""

Pair = tuple[str | Path, str | Path]
"""An annotated scan and its label map."""


@dataclass(frozen=True)
class Settings:
    """How scans are segmented and what is written of them; named as the keys of gmrd-predict.

    Attributes:
        ckpt_path: a trained network's checkpoint; None to match pretrained features.
        names: label value to organ name; None for every value of the first label map.
        format: of the label maps.
        save_probabilities: also a probability map for each organ.
        page: also a page for each scan.
        keep_support: keep encoded supports on the disk.
        options: see :class:`Options`.
        geometry: of the training volumes; None for what the checkpoint says.
        intensity: of the training volumes; None for what the checkpoint says.
    """

    ckpt_path: str | None = None
    names: Mapping[int, str] | None = None
    format: Literal["nifti", "seg_nrrd", "dicom_seg", "rtstruct"] = "nifti"
    save_probabilities: bool = False
    page: bool = True
    keep_support: bool = True
    options: Options = field(default_factory=Options)
    geometry: TrainingGeometry | None = None
    intensity: Intensity | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Settings:
        """From the checked keys of a command, which has others beside."""
        return cls(**{name: value for name, value in given.items() if name in KEYS})

    def key(self, pairs: Sequence[Pair]) -> str:
        """Of all that a result depends on beside the scan.

        Raises:
            InputError: a support or the checkpoint cannot be read.
        """
        files = [file for pair in pairs for file in pair]
        contents = [digest(file) for file in (*files, *filter(None, [self.ckpt_path]))]
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in UNSEEN}
        facts = json.dumps([code_digest(), contents, own], sort_keys=True, default=repr)
        return hashlib.sha256(facts.encode()).hexdigest()[:20]

    def predictor(self, pairs: Sequence[Pair], progress: Progress = silent) -> Predictor:
        """What segments a scan; reads and encodes the supports."""
        return Predictor(
            pairs,
            checkpoint=self.ckpt_path,
            names=self.names,
            geometry=self.geometry,
            intensity=self.intensity,
            options=self.options,
            progress=progress,
            store=default_store() if self.keep_support else None,
        )

    def write(self, found: Segmentation, folder: Path) -> Record:
        """Write all files of a result and return its record."""
        return write_outputs(
            found,
            folder,
            ending=FORMATS[self.format],
            probabilities=self.save_probabilities,
            page=self.page,
        )

    def batch(
        self,
        pairs: Sequence[Pair],
        out: Path,
        *,
        write: Callable[[Segmentation], Record] | None = None,
        progress: Progress = silent,
        about: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> Batch:
        """Many scans into one folder; supports are read when the first scan is due.

        Args:
            pairs: the supports.
            out: folder of the results.
            write: in place of writing into ``out``.
            progress: told what is being done.
            about: for the summary, beside checkpoint and supports.
            rest: of :class:`Batch`.
        """

        @cache
        def predictor() -> Callable[[Scan], Segmentation]:
            made = self.predictor(pairs, progress)

            def segment(scan: Scan) -> Segmentation:
                if self.format in CHECKS:
                    CHECKS[self.format](scan)
                return made(scan)

            return segment

        return Batch(
            out=out,
            predictor=predictor,
            write=write or partial(self.write, folder=out),
            key=self.key(pairs),
            about={
                "checkpoint": self.ckpt_path or UNTRAINED,
                "support": [[str(image), str(label)] for image, label in pairs],
                **(about or {}),
            },
            **rest,
        )


UNSEEN = ("ckpt_path", "keep_support")
"""Settings that do not change a result; a checkpoint counts by its content."""

KEYS = tuple(f.name for f in fields(Settings))
