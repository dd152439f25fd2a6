"""Many scans segmented one by one into a folder; its summary is kept up to date after each.

A scan that fails does not stop the others. A scan that was already segmented is skipped if its
content, the supports and the settings are unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from gmrd.errors import InputError
from gmrd.io.digest import digest
from gmrd.io.json_file import read_json
from gmrd.io.readers import read_scan
from gmrd.io.scan import Scan
from gmrd.predict.inputs import Query, unique_names
from gmrd.predict.outputs import write_summary
from gmrd.predict.result import Segmentation
from gmrd.predict.triage import Record

SUMMARY = "summary.json"
REMEDY = "delete it, or choose another out folder"
MOST_LABELS = 64
"""Largest number of distinct values in a label map."""
FLAT = 0.9
"""Smallest share of equal neighbours along the rows of a label map."""


@dataclass(frozen=True)
class Step:
    """A processed scan of a batch.

    Attributes:
        number: from 1.
        total: scans in the batch.
        record: its entry in the summary.
        kept: whether an earlier run had segmented it.
        seconds_left: estimate until the end of the batch; None before the first scan is done.
    """

    number: int
    total: int
    record: Record
    kept: bool
    seconds_left: float | None


@dataclass(frozen=True)
class Batch:
    """How scans are segmented, and where results go.

    Attributes:
        out: folder of the results.
        predictor: returns the function that segments a scan; called only if there is one to do.
        write: writes a result's files to ``out`` and returns its record.
        key: digest of everything that a result depends on, except the scan.
        about: information about the run, for the summary.
        again: also segment scans that are already done.
        explain: turns an unexpected error into a message.
    """

    out: Path
    predictor: Callable[[], Callable[[Scan], Segmentation]]
    write: Callable[[Segmentation], Record]
    key: str
    about: Mapping[str, Any]
    again: bool = False
    explain: Callable[[Exception], str] = lambda error: f"{type(error).__name__}: {error}"

    def run(self, queries: Sequence[Query]) -> Iterator[Step]:
        """Process every query; the summary is written before each step is yielded.

        Raises:
            InputError: the folder is not writable, or its summary is damaged.
        """
        records = read_records(self.out)
        taken = {source: record["name"] for source, record in records.items()}
        names = unique_names(queries, taken)
        times: list[float] = []
        for number, query in enumerate(queries, start=1):
            start = time.perf_counter()
            record, kept = self._record(query, names[query.source], records.get(query.source))
            records[query.source] = record
            write_summary(self.out / SUMMARY, self.about, list(records.values()))
            if not kept and record["status"] == "done":
                times.append(time.perf_counter() - start)
            left = float(np.mean(times)) * (len(queries) - number) if times else None
            yield Step(number, len(queries), record, kept, left)

    def _record(self, query: Query, name: str, before: Record | None) -> tuple[Record, bool]:
        """A scan's record, and whether it is that of an earlier run."""
        about = {"name": name, "source": query.source}
        try:
            about["key"] = f"{self.key}-{digest(query.path)}"
        except InputError as error:
            return about | {"status": "failed", "error": str(error)}, False
        if before and self._is_finished(before, about["key"]):
            return before, True
        return about | self._found(self.predictor(), query, name), False

    def _found(self, segment: Callable[[Scan], Segmentation], query: Query, name: str) -> Record:
        try:
            scan = read_scan(query.path)
            if query.listed and looks_like_labels(scan.image):
                return {"status": "passed_over", "error": "it is a label map"}
            found = segment(replace(scan, name=name))
            return {"status": "done"} | self.write(found) | {"source": query.source}
        except InputError as error:
            return {"status": "failed", "error": str(error)}
        except Exception as error:  # one failed scan must not stop the others
            return {"status": "failed", "error": self.explain(error)}

    def _is_finished(self, record: Record, key: str) -> bool:
        if self.again or record.get("key") != key or record["status"] == "failed":
            return False
        return all((self.out / file).is_file() for file in record.get("files", {}).values())


def read_records(folder: Path) -> dict[str, Record]:
    """The records in a folder's summary, by source; empty if there is no summary.

    Raises:
        InputError: the summary is damaged.
    """
    path = folder / SUMMARY
    if not path.is_file():
        return {}
    try:
        return {record["source"]: _checked(record) for record in read_json(path, REMEDY)["scans"]}
    except (AttributeError, LookupError, TypeError) as error:
        raise InputError(f"{path} is not a summary of gmrd ({error}): {REMEDY}") from error


def _checked(record: Mapping[str, Any]) -> Record:
    """A record of a summary whose name and files are texts."""
    made: Record = {"status": "done", **record, "name": str(record["name"])}
    if "files" in record:
        made["files"] = {kind: str(name) for kind, name in record["files"].items()}
    return made


def looks_like_labels(image: Num[np.ndarray, "z y x"]) -> bool:
    """Whether an image is probably a label map: few whole values in flat regions."""
    some = image[::2, ::4, ::4]
    if (some != np.round(some)).any() or len(np.unique(some)) > MOST_LABELS:
        return False
    return bool((image[..., 1:] == image[..., :-1]).mean() > FLAT)
