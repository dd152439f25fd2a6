"""The loop in a folder: annotate one scan, segment the others, correct the worst, repeat.

::

    study/project.yaml    scans, annotated scans and settings
    study/annotations/    manual label maps, each named after its scan
    study/drafts/         predicted label maps, as a batch writes them

The files alone determine which scans are annotated: those with a label map in ``annotations/``,
and those whose draft is not as the program wrote it. Annotated scans are additional supports.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from jaxtyping import Int32

from gmrd.errors import InputError
from gmrd.io.atomic import writable_folder
from gmrd.io.formats import expanded
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
ANNOTATED = {"status": "annotated", "error": "annotated: a support from the next update on"}


@dataclass(frozen=True)
class State:
    """The state of a project's folder.

    Attributes:
        scans: all scans to segment or annotate, by name.
        annotated: manual label maps of these scans, by name.
        supports: the annotated scans in use, first those listed in the project file.
        notes: for the user, such as on a label map that cannot be used.
        drafts: records of the scans that are not annotated, the worst first.
        outdated: names of scans without a draft, or with a draft from other supports or settings.
    """

    scans: Mapping[str, Query]
    annotated: Mapping[str, Path]
    supports: Sequence[Pair]
    notes: Sequence[str]
    drafts: Sequence[Record]
    outdated: Sequence[str]

    @property
    def next(self) -> str | None:
        """The scan to annotate next; None if nothing was segmented."""
        chosen = next_to_annotate(self.drafts)
        return None if chosen is None else str(chosen["name"])


class Project:
    """A project, stored in a folder.

    Args:
        folder: of an existing project; :meth:`create` makes a new one.

    Raises:
        InputError: there is no project, or its file is damaged.

    Example:
        >>> project = gmrd.Project.create("study", [("a.nii.gz", "a_seg.nii.gz")], "scans/")
        >>> for step in project.update():
        ...     print(step.record["name"])
        >>> project.annotate("b", "b_corrected.nii.gz")
        >>> steps = list(project.update())
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = expanded(folder)
        self.drafts, self.annotations = self.folder / "drafts", self.folder / "annotations"
        self._ledger = Ledger(self.drafts)
        ProjectFile.read(self.folder).checked_settings()

    @classmethod
    def create(
        cls,
        folder: str | Path,
        support: Sequence[Pair],
        query: str | Path | Sequence[str | Path],
        **settings: Any,
    ) -> Project:
        """Create a project.

        Args:
            folder: of the project; made if it does not exist.
            support: files of annotated scans and their label maps.
            query: scans to segment, or folders that every update searches for scans.
            settings: keys of gmrd-predict, such as ``names``, ``ckpt_path`` and ``options``.

        Raises:
            InputError: the folder already holds a project, or an argument is refused.
        """
        place = expanded(folder)
        if (place / NAME).exists():
            raise InputError(
                f"{place / NAME} already exists: open that project, or choose another folder"
            )
        places = [query] if isinstance(query, str | Path) else list(query)
        if not support or not places:
            raise InputError("a project needs a support and a query: give both")
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
            InputError: an argument is refused, or an update is in progress.
        """
        with self._alone():
            ProjectFile.read(self.folder).with_more(support, query, settings).write()

    def annotate(self, name: str, labels: LabelLike) -> Path:
        """Store a manual label map of a scan, which is a support from the next update on.

        Args:
            name: of the scan.
            labels: its label map (z, y, x), a file or an array.

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
        """A scan's annotation, else its draft, (z, y, x); None if it has neither.

        Args:
            name: of the scan.
            scan: the scan, if it is already read.
        """
        scan, annotated = scan or self.scan(name), self._annotated(self._scans())
        draft = next((d for d in self._drafts() if d[0] == name), None)
        file = annotated.get(name) or (draft and draft[1])
        return read_label(file, scan) if file else None

    def state(self) -> State:
        """The current state of the folder.

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
                "keeps this annotation, but is not used as a support"
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
        """Segment the scans that are not annotated and have no draft with the current settings.

        If it is interrupted, finished drafts are kept, and the next update continues from there.

        Args:
            progress: called with the progress of each step.
            again: also segment scans with a current draft.
            explain: turns an unexpected error into a message.

        Raises:
            InputError: another update is in progress, or a support is refused.
        """
        with self._alone():
            writable_folder(self.drafts)
            for left in self.drafts.glob(f"{PART}*"):
                shutil.rmtree(left, ignore_errors=True)
            state, file = self.state(), ProjectFile.read(self.folder)
            settings = file.checked_settings()
            batch = settings.batch(
                state.supports,
                self.drafts,
                write=partial(self._put, settings),
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

    def _scans(self) -> dict[str, Query]:
        """Scans by name; a scan keeps the name that it was first given."""
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
        """Names of scans and their drafts, corrected or not."""
        for record in read_records(self.drafts).values():
            file = self.drafts / record.get("files", {}).get("labels", "")
            if file.is_file():
                yield record["name"], file

    def _annotated(self, scans: Mapping[str, Query]) -> dict[str, Path]:
        """Manual label maps by name; those in annotations/ take precedence over drafts."""
        drafts = {n: f for n, f in self._drafts() if n in scans and self._ledger.is_corrected(f)}
        found = drafts | drawn(self.annotations, scans)
        return {name: found[name] for name in sorted(found)}

    def _note_annotated(self, state: State, about: Mapping[str, Any]) -> None:
        """Mark the annotated scans in the summary, which also keeps their names."""
        records = read_records(self.drafts)
        for name, file in state.annotated.items():
            source = state.scans[name].source
            # Keep the draft's file: its content shows that it was corrected.
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

    def _put(self, settings: Settings, found: Segmentation) -> Record:
        """Write a draft's files and move them into place, but never over manual work.

        The draft may have been corrected since the update began.
        """
        with tempfile.TemporaryDirectory(dir=self.drafts, prefix=PART) as folder:
            place = Path(folder)
            record = settings.write(found, place)
            labels = record["files"]["labels"]
            if self._ledger.is_corrected(self.drafts / labels):
                return {"name": found.scan.name, "files": {"labels": labels}, **ANNOTATED}
            self._ledger.note(place / labels)
            for file in record["files"].values():
                (place / file).replace(self.drafts / file)
        return record

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the project's lock, which the system releases if this process is killed."""
        lock = FileLock(self.folder / ".lock", thread_local=False)
        try:
            with lock.acquire(timeout=0):
                yield
        except Timeout as error:
            raise InputError(
                f"{self.folder} is being updated by another process: wait until it has ended"
            ) from error
