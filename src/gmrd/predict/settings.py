"""Settings of segmentation, for commands and projects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, partial
from pathlib import Path
from typing import Any

from gmrd.io.dicom_reference import refuse_without_series
from gmrd.io.dicom_seg import check_writable
from gmrd.io.digest import digest
from gmrd.io.scan import Scan
from gmrd.matching.scan import Progress, silent
from gmrd.predict.batch import Batch
from gmrd.predict.geometry import TrainingGeometry
from gmrd.predict.intensity import Intensity
from gmrd.predict.label_files import EXTENSIONS, LabelFormat
from gmrd.predict.options import Options
from gmrd.predict.outputs import write_outputs
from gmrd.predict.result import Segmentation
from gmrd.predict.segmentation import UNTRAINED, Predictor
from gmrd.predict.store import code_digest, default_store
from gmrd.predict.triage import Record

CHECKS: Mapping[LabelFormat, Callable[[Scan], None]] = {
    "dicom_seg": check_writable,
    "rtstruct": partial(refuse_without_series, kind="RT structure set"),
}
"""Checks, by format, whether a scan's label map can be written, before the work."""

Pair = tuple[str | Path, str | Path]
"""An annotated scan and its label map."""


@dataclass(frozen=True)
class Settings:
    """How scans are segmented and what is written; the names are the keys of gmrd-predict.

    Attributes:
        ckpt_path: a trained network's checkpoint; None to match pretrained features.
        names: label value to organ name; None for all values of the first label map.
        format: of the label maps.
        save_probabilities: also write a probability map for each organ.
        page: also write an HTML page for each scan.
        keep_support: cache encoded supports and what each found on disk.
        options: see :class:`Options`.
        geometry: of the training volumes; None for the checkpoint's.
        intensity: preprocessing of the training volumes; None for the checkpoint's.
    """

    ckpt_path: str | None = None
    names: Mapping[int, str] | None = None
    format: LabelFormat = "nifti"
    save_probabilities: bool = False
    page: bool = True
    keep_support: bool = True
    options: Options = field(default_factory=Options)
    geometry: TrainingGeometry | None = None
    intensity: Intensity | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Settings:
        """From a command's checked configuration, ignoring its other keys."""
        return cls(**{name: value for name, value in given.items() if name in KEYS})

    def key(self, pairs: Sequence[Pair]) -> str:
        """Digest of everything that a result depends on, except the scan.

        Raises:
            InputError: a support or the checkpoint cannot be read.
        """
        files = [file for pair in pairs for file in pair]
        contents = [digest(file) for file in (*files, *filter(None, [self.ckpt_path]))]
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in UNSEEN}
        facts = json.dumps([code_digest(), contents, own], sort_keys=True, default=repr)
        return hashlib.sha256(facts.encode()).hexdigest()[:20]

    def predictor(self, pairs: Sequence[Pair], progress: Progress = silent) -> Predictor:
        """Read and encode the supports."""
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
            extension=EXTENSIONS[self.format],
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
        """A batch that segments scans into a folder; supports are read for the first scan only.

        Args:
            pairs: the supports.
            out: folder of the results.
            write: replaces writing to ``out``.
            progress: called with the progress of each step.
            about: for the summary, in addition to checkpoint and supports.
            rest: further fields of :class:`Batch`.
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
"""Settings left out of the key; a checkpoint is included by its content."""

KEYS = tuple(f.name for f in fields(Settings))
