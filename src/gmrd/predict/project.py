"""A folder that keeps the loop: annotate one scan, segment the others, mend the worst, again.

::

    study/project.yaml    scans, annotated scans and settings
    study/annotations/    label maps that a person drew, each named after its scan
    study/drafts/         label maps that the program found, as a batch writes them

Which scans are annotated is seen from the files alone: a label map in ``annotations/``, or a
draft whose content is not what the program wrote. Such a scan is a further support.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from jaxtyping import Int32

from gmrd.errors import InputError
from gmrd.io.atomic import writable_folder
from gmrd.io.readers import read_label, read_scan
from gmrd.io.scan import Scan
from gmrd.matching.scan import Progress, silent
from gmrd.predict.annotations import Ledger, drawn, incomplete
from gmrd.predict.batch import SUMMARY, Step, read_records
from gmrd.predict.given import LabelLike
from gmrd.predict.index import write_index
from gmrd.predict.inputs import Query, find_queries, source_of, unique_names
from gmrd.predict.outputs import write_summary
from gmrd.predict.project_file import NAME, ProjectFile
from gmrd.predict.result import Segmentation
from gmrd.predict.settings import Pair, Settings
from gmrd.predict.support import read_pair
from gmrd.predict.triage import Record, next_to_annotate, worst_first

PART = ".part-"
ANNOTATED = {"status": "annotated", "error": "annotated, so a support from the next update on"}


@dataclass(frozen=True)
class State:
    """What a project's folder holds.

    Attributes:
        scans: all that are segmented unless they are annotated, by name.
        annotated: label maps that a person drew of them, by name.
        supports: the annotated scans that are used, first those of the project's file.
        notes: what a person should know, such as a label map that cannot be used.
        drafts: records of the scans that are not annotated, the worst first.
        outdated: names of scans without a draft, or with one of earlier supports or settings.
    """

    scans: Mapping[str, Query]
    annotated: Mapping[str, Path]
    supports: Sequence[Pair]
    notes: Sequence[str]
    drafts: Sequence[Record]
    outdated: Sequence[str]

    @property
    def next(self) -> str | None:
        """The scan whose annotation should help most; None where nothing was segmented."""
        chosen = next_to_annotate(self.drafts)
        return None if chosen is None else str(chosen["name"])


class Project:
    """A project in its folder.

    Args:
        folder: with a project's file; :meth:`create` begins one.

    Raises:
        InputError: there is no project, or its file is damaged.

    Example:
        >>> project = gmrd.Project.create("study", [("a.nii.gz", "a_seg.nii.gz")], "scans/")
        >>> for step in project.update():
        ...     print(step.record["name"])
        >>> project.annotate("b", "b_mended.nii.gz")
        >>> steps = list(project.update())
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        self.drafts, self.annotations = self.folder / "drafts", self.folder / "annotations"
        self._ledger = Ledger(self.drafts)
        self._settings()

    @classmethod
    def create(
        cls,
        folder: str | Path,
        support: Sequence[Pair],
        query: str | Path | Sequence[str | Path],
        **settings: Any,
    ) -> Project:
        """Begin a project.

        Args:
            folder: of the project; made if need be.
            support: annotated scans and their label maps, as files.
            query: scans to segment, or folders that every update searches for them.
            settings: keys of gmrd-predict, such as ``names``, ``ckpt_path`` and ``options``.

        Raises:
            InputError: the folder holds a project, or something given is refused.
        """
        place = Path(folder).expanduser()
        if (place / NAME).exists():
            raise InputError(f"{place / NAME} exists: open the project, or choose another folder")
        places = [query] if isinstance(query, str | Path) else list(query)
        if not support or not places:
            raise InputError("a project begins with a support and a query: give both")
        made = ProjectFile(place).with_more(support, places, settings)
        for kept in (place / "annotations", place / "drafts"):
            writable_folder(kept)
        made.write()
        return cls(place)

    def add(
        self,
        support: Sequence[Pair] = (),
        query: Sequence[str | Path] = (),
        **settings: Any,
    ) -> None:
        """Add annotated scans or scans to segment, and change settings.

        Raises:
            InputError: something given is refused, or an update is going on.
        """
        with self._alone():
            ProjectFile.read(self.folder).with_more(support, query, settings).write()

    def annotate(self, name: str, labels: LabelLike) -> Path:
        """Keep a person's label map of a scan; it is a support from the next update on.

        Args:
            name: of the scan.
            labels: its label map (z, y, x), as a file or an array.

        Returns:
            The file in ``annotations/``, in the scan's geometry.

        Raises:
            InputError: there is no such scan, or the label map does not fit it.
        """
        scan, voxels = read_pair(self.scan(name), labels)
        path = self.annotations / f"{name}.nii.gz"
        earlier = drawn(self.annotations, self._scans()).get(name, path)
        scan.save(path, voxels)
        if earlier != path:
            earlier.unlink()
        return path

    def scan(self, name: str) -> Scan:
        """A scan by its name."""
        scans = self._scans()
        if name not in scans:
            raise InputError(f"{self.folder} has no scan {name}: it has {', '.join(scans)}")
        return read_scan(scans[name].path)

    def labels(self, name: str, scan: Scan | None = None) -> Int32[np.ndarray, "z y x"] | None:
        """A scan's annotation, or else its draft, (z, y, x); None where there is neither.

        Args:
            name: of the scan.
            scan: itself, if it has been read.
        """
        scan, annotated = scan or self.scan(name), self._annotated(self._scans())
        draft = next((d for d in self._drafts() if d[0] == name), None)
        file = annotated.get(name) or (draft and draft[1])
        return read_label(file, scan) if file else None

    def state(self) -> State:
        """What the folder holds now.

        Raises:
            InputError: a file is missing or damaged, or a label map belongs to no scan.
        """
        file = ProjectFile.read(self.folder)
        settings, scans = file.checked_settings(), self._scans()
        annotated = self._annotated(scans)
        lacking = incomplete(annotated, file.support[0][1], settings.names)
        supports = list[Pair](file.support)
        supports += [(scans[n].path, annotated[n]) for n in annotated if n not in lacking]
        key = settings.key(supports)
        records = read_records(self.drafts).values()
        drafts = [
            record
            for record in records
            if record["name"] in scans.keys() - annotated.keys()
            and record["status"] in ("done", "failed")
        ]
        current = {
            record["name"]
            for record in records
            if record.get("key", "").startswith(key) and record["status"] != "failed"
        }
        return State(
            scans=scans,
            annotated=annotated,
            supports=supports,
            notes=[
                f"{annotated[name]} has no voxel of label {', '.join(map(str, values))}: the scan "
                "is left as it is, but it is no support"
                for name, values in lacking.items()
            ],
            drafts=worst_first(drafts),
            outdated=[name for name in scans if name not in {*current, *annotated}],
        )

    def update(
        self,
        *,
        progress: Progress = silent,
        again: bool = False,
        explain: Callable[[Exception], str] = str,
    ) -> Iterator[Step]:
        """Segment what is not annotated and has no draft of today's supports and settings.

        Whatever ends it, finished drafts are kept, and the next update goes on from there.

        Args:
            progress: told what is being done.
            again: segment also what has such a draft.
            explain: what is said of a scan's error.

        Raises:
            InputError: another update is going on, or a support is refused.
        """
        with self._alone():
            writable_folder(self.drafts)
            for left in self.drafts.glob(f"{PART}*"):
                shutil.rmtree(left, ignore_errors=True)
            state, file = self.state(), ProjectFile.read(self.folder)
            batch = file.checked_settings().batch(
                state.supports,
                self.drafts,
                write=self._put,
                progress=progress,
                about={"settings": dict(file.settings)},
                again=again,
                explain=explain,
            )
            self._note_annotated(state, batch.about)
            try:
                yield from batch.run(
                    [query for name, query in state.scans.items() if name not in state.annotated]
                )
            finally:
                sources = {query.source for query in state.scans.values()}
                records = [r for s, r in read_records(self.drafts).items() if s in sources]
                write_index(self.drafts / "index.html", records)

    def _settings(self) -> Settings:
        return ProjectFile.read(self.folder).checked_settings()

    def _scans(self) -> dict[str, Query]:
        """Scans by name; each keeps the name that it was first given."""
        file = ProjectFile.read(self.folder)
        images = [image for image, _ in file.support]
        queries = find_queries(
            file.query,
            exclude=[self.drafts, self.annotations, *images, *(label for _, label in file.support)],
            base=self.folder,
        )
        others = [query for query in queries if query.path.resolve() not in images]
        taken = {source: r["name"] for source, r in read_records(self.drafts).items()}
        names = unique_names(others, taken)
        return {names[query.source]: query for query in others}

    def _drafts(self) -> Iterator[tuple[str, Path]]:
        """Names of scans and the drafts that the program wrote of them, mended or not."""
        for record in read_records(self.drafts).values():
            file = self.drafts / record.get("files", {}).get("labels", "")
            if file.is_file():
                yield record["name"], file

    def _annotated(self, scans: Mapping[str, Query]) -> dict[str, Path]:
        """Label maps that a person drew, by name; one in annotations/ counts before a draft."""
        mended = {n: f for n, f in self._drafts() if n in scans and self._ledger.is_mended(f)}
        found = mended | drawn(self.annotations, scans)
        return {name: found[name] for name in sorted(found)}

    def _note_annotated(self, state: State, about: Mapping[str, Any]) -> None:
        """Have the summary call the annotated scans so; it keeps their names, too."""
        records = read_records(self.drafts)
        for name, file in state.annotated.items():
            source = state.scans[name].source
            # A draft stays named: from its content it is seen that it was mended.
            kept = {k: v for k, v in records.get(source, {}).items() if k == "files"}
            place = source_of(file, self.folder)
            records[source] = {
                "name": name,
                "source": source,
                "annotation": place,
                **ANNOTATED,
                **kept,
            }
        write_summary(self.drafts / SUMMARY, about, list(records.values()))

    def _put(self, found: Segmentation) -> Record:
        """Write a draft's files, then put them in place; never over a person's work.

        The draft may have been mended since the update began.
        """
        with tempfile.TemporaryDirectory(dir=self.drafts, prefix=PART) as folder:
            place = Path(folder)
            record = self._settings().write(found, place)
            labels = record["files"]["labels"]
            if self._ledger.is_mended(self.drafts / labels):
                return {"name": found.scan.name, "files": {"labels": labels}, **ANNOTATED}
            self._ledger.note(place / labels)
            for file in record["files"].values():
                (place / file).replace(self.drafts / file)
        return record

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the project's lock, which the system releases when this process ends."""
        lock = FileLock(self.folder / ".lock", thread_local=False)
        try:
            with lock.acquire(timeout=0):
                yield
        except Timeout as error:
            raise InputError(
                f"{self.folder} is being updated by another process: wait until it has ended"
            ) from error
