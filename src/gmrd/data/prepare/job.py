"""Preparing one case of a download, and checking whether it is up to date."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from gmrd.data.cases import Case
from gmrd.data.prepare.settings import Preparation
from gmrd.data.prepare.sources import read_case
from gmrd.data.prepare.steps import prepare_volume
from gmrd.data.supervoxel_files import Supervoxels, make_supervoxels
from gmrd.data.volume import Volume
from gmrd.errors import InputError
from gmrd.io.atomic import replacing
from gmrd.io.json_file import read_json
from gmrd.io.nifti_writer import write_nifti

RECORDS = "prepared"
"""Folder below the root with one record for every prepared case."""


@dataclass(frozen=True)
class Job:
    """One case: its source files and the files to write below ``root``."""

    case_id: str
    source_image: Path
    source_label: Path | None
    target: Case
    root: Path
    settings: Preparation
    supervoxels: Supervoxels

    def facts(self) -> dict[str, Any]:
        """Everything the outcome depends on; a case with an equal record is up to date."""
        sources = [p for p in (self.source_image, self.source_label) if p is not None]
        return {
            "gmrd": version("gmrd"),
            "sources": {str(p): _signature(p) for p in sources},
            "preparation": plain(asdict(self.settings)),
            "supervoxels": asdict(self.supervoxels),
        }

    @property
    def record(self) -> Path:
        """The file of the case's record."""
        return self.root / RECORDS / f"{self.case_id}.json"

    def outputs(self) -> list[Path]:
        """Files that the case consists of."""
        paths = (self.target.image, self.target.label, self.target.pseudo_label)
        return [p for p in paths if p is not None]

    def is_done(self) -> bool:
        """Whether the files exist and were made from the same sources and settings.

        A case whose record is damaged is prepared again.
        """
        if not self.record.is_file() or not all(p.is_file() for p in self.outputs()):
            return False
        try:
            record = read_json(self.record, "it is written again")
        except InputError:
            return False
        return isinstance(record, dict) and record.get("facts") == self.facts()

    def run(self) -> str:
        """Prepare the case; the record is written last, so an interrupted case is repeated."""
        self._remove_leftovers()
        raw = read_case(self.source_image, self.source_label, self.settings)
        volume = prepare_volume(self.case_id, raw, self.settings)
        write_nifti(self.target.image, volume.image, volume.affine)
        if self.target.label is not None:
            assert volume.label is not None
            write_nifti(self.target.label, volume.label, volume.affine)
        parameters = asdict(self.supervoxels)
        make_supervoxels(
            self.case_id, self.target.image, self.target.pseudo_label, parameters, overwrite=True
        )
        write_json(self.record, self._describe(volume))
        return self.case_id

    def _describe(self, volume: Volume) -> dict[str, Any]:
        values = np.zeros(0, np.uint8) if volume.label is None else volume.label
        return {
            "case_id": self.case_id,
            "shape_xyz": list(volume.image.shape[::-1]),
            "spacing_xyz_mm": list(volume.spacing[::-1]),
            "affine": volume.affine.tolist(),
            "label_voxels": {
                int(v): int(n) for v, n in zip(*np.unique(values, return_counts=True), strict=True)
            },
            "sha256": {p.relative_to(self.root).as_posix(): _sha256(p) for p in self.outputs()},
            "facts": self.facts(),
        }

    def _remove_leftovers(self) -> None:
        """Temporary files of a run that was killed while writing this case."""
        for path in (*self.outputs(), self.record):
            for leftover in path.parent.glob(f".part-*.{path.name}"):
                leftover.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically."""
    with replacing(path) as temporary:
        temporary.write_text(as_json(content))


def as_json(content: object) -> str:
    """JSON in the format of the records and the manifest."""
    return json.dumps(content, indent=1)


def plain(value: Any) -> Any:
    """The value after a round trip through JSON, for comparison with a record."""
    return json.loads(json.dumps(value))


def _signature(path: Path) -> list[list[Any]]:
    """Names, sizes and times of a file, or of the files in a folder."""
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file())
    return [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
