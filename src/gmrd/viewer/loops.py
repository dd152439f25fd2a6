"""What the widget works on: a project's folder, or the open layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32

from gmrd.errors import InputError
from gmrd.io.scan import Scan
from gmrd.matching.scan import Progress
from gmrd.predict.batch import read_records
from gmrd.predict.outputs import record
from gmrd.predict.project import Project
from gmrd.predict.segmentation import Predictor
from gmrd.predict.triage import Record, lowest_dice, worst_first


@dataclass(frozen=True)
class Row:
    """A scan in the list.

    Attributes:
        name: of the scan.
        remark: the estimated quality of its draft, or that it is annotated.
    """

    name: str
    remark: str


@runtime_checkable
class Loop(Protocol):
    """Annotated scans, and drafts of the others."""

    def rows(self) -> list[Row]:
        """All scans: drafts, the worst first, then those without a draft, then the annotated."""

    def names(self) -> Mapping[int, str]:
        """Label value to organ name, as far as known."""

    def read(self, name: str) -> tuple[Scan, Int32[np.ndarray, "z y x"] | None]:
        """A scan and its annotation or draft."""

    def annotate(self, name: str, labels: Int32[np.ndarray, "z y x"]) -> None:
        """Store a manual label map, which is a support from the next update on."""

    def update(self, progress: Progress) -> Iterator[tuple[str, list[Row]]]:
        """Segment outdated scans; yields each one when it is done, with all rows at that time."""


class ProjectLoop:
    """The :class:`Loop` of a project's folder."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(folder)

    def rows(self) -> list[Row]:
        """All scans, the worst drafts first."""
        state = self.project.state()
        return _rows(state.drafts, state.scans, list(state.annotated))

    def names(self) -> Mapping[int, str]:
        """Label value to organ name, from the drafts' records."""
        return _names(read_records(self.project.drafts).values())

    def read(self, name: str) -> tuple[Scan, Int32[np.ndarray, "z y x"] | None]:
        """Read a scan and its label map from the files."""
        scan = self.project.scan(name)
        return scan, self.project.labels(name, scan)

    def annotate(self, name: str, labels: Int32[np.ndarray, "z y x"]) -> None:
        """Write a label map into ``annotations/``."""
        self.project.annotate(name, labels)

    def update(self, progress: Progress) -> Iterator[tuple[str, list[Row]]]:
        """Update the project."""
        for step in self.project.update(progress=progress):
            if not step.kept:
                yield str(step.record["name"]), self.rows()


class OpenScans:
    """The :class:`Loop` of scans in memory; one is annotated at first.

    Args:
        scans: by the names of their layers.
        annotated: the first annotated scan's name.
        labels: its label map.

    Raises:
        InputError: there is no other scan.
    """

    def __init__(
        self, scans: Mapping[str, Scan], annotated: str, labels: Int32[np.ndarray, "z y x"]
    ) -> None:
        if len(scans) < 2:
            raise InputError("there is no scan to segment: open others besides the annotated one")
        self.scans = dict(scans)
        self.annotated = {annotated: labels}
        self.drafts: dict[str, Int32[np.ndarray, "_ _ _"]] = {}
        self.records: dict[str, Record] = {}

    def rows(self) -> list[Row]:
        """All scans, the worst drafts first."""
        drafts = [r for name, r in self.records.items() if name not in self.annotated]
        return _rows(worst_first(drafts), self.scans, list(self.annotated))

    def names(self) -> Mapping[int, str]:
        """Label value to organ name, from the drafts' records."""
        return _names(self.records.values())

    def read(self, name: str) -> tuple[Scan, Int32[np.ndarray, "z y x"] | None]:
        """From memory."""
        return self.scans[name], self.annotated.get(name, self.drafts.get(name))

    def annotate(self, name: str, labels: Int32[np.ndarray, "z y x"]) -> None:
        """Keep a label map."""
        self.annotated[name] = labels

    def update(self, progress: Progress) -> Iterator[tuple[str, list[Row]]]:
        """Segment all others again."""
        pairs = [(self.scans[name], labels) for name, labels in self.annotated.items()]
        predictor = Predictor(pairs, progress=progress)
        for name in [name for name in self.scans if name not in self.annotated]:
            found = predictor(self.scans[name])
            self.drafts[name] = found.labels.astype(np.int32)
            self.records[name] = record(found) | {"name": name, "status": "done"}
            yield name, self.rows()


def _rows(drafts: Sequence[Record], scans: Iterable[str], annotated: Sequence[str]) -> list[Row]:
    known = {str(draft["name"]) for draft in drafts} | set(annotated)
    return [
        *(Row(str(draft["name"]), _remark(draft)) for draft in drafts),
        *(Row(name, "no draft") for name in scans if name not in known),
        *(Row(name, "annotated") for name in annotated),
    ]


def _remark(draft: Record) -> str:
    if draft["status"] == "failed":
        return str(draft["error"])
    return f"est. Dice {100 * lowest_dice(draft):.0f} %"


def _names(records: Iterable[Record]) -> dict[int, str]:
    found = (record["label_values"] for record in records if "label_values" in record)
    return {value: organ for organ, value in next(found, {}).items()}
