"""Finding the scans to segment (files, DICOM series, folders of both) and naming them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from gmrd.errors import InputError
from gmrd.io.formats import READABLE_EXTENSIONS, expanded, stem
from gmrd.io.marks import holds_slices, is_result

UNDECODED = re.compile("[\udc80-\udcff]")
"""What Python makes of a file name's bytes that are no text."""

RESERVED = ("index", "summary")
"""Names of a batch's own files."""


@dataclass(frozen=True)
class Query:
    """A scan to segment.

    Attributes:
        path: a file, or the folder of a DICOM series.
        listed: whether it was found in a folder; then it may not be a scan.
        base: paths in this folder are stored relative to it, so that all can move together.
    """

    path: Path
    listed: bool
    base: Path | None = None

    @property
    def source(self) -> str:
        """Its unique identifier: its path, relative to ``base`` if it lies within."""
        return source_of(self.path, self.base)


def source_of(path: Path, base: Path | None = None) -> str:
    """A path relative to ``base`` if it lies within, otherwise absolute."""
    place = _own_place(path)
    if base is not None and place.is_relative_to(base.resolve()):
        return place.relative_to(base.resolve()).as_posix()
    return str(place)


def _own_place(path: Path) -> Path:
    """The real folder of a path with the path's own name.

    Data under git-annex or DVC are links to files that are named after their content.
    """
    place = Path(os.path.abspath(path))  # where it ends in `.` or `..`, the folder's name
    return place.parent.resolve() / place.name


def find_queries(
    paths: str | Path | Iterable[str | Path],
    *,
    exclude: Iterable[str | Path] = (),
    base: Path | None = None,
) -> list[Query]:
    """The scans at the given paths, each once.

    Folders are searched recursively: every file with a known extension is a scan, and so is every
    folder of DICOM slices. Hidden files and results of earlier runs are skipped.

    Args:
        paths: a scan or a folder, or several.
        exclude: files and folders to skip when searching folders.
        base: see :class:`Query`.

    Raises:
        InputError: a path does not exist, or there is nothing to segment.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    left_out = {expanded(place).resolve() for place in exclude}
    found: dict[str, Query] = {}
    for path in given:
        place = expanded(path)
        if not place.exists():
            raise InputError(f"query={place} does not exist")
        for query in (replace(query, base=base) for query in _queries(place, left_out)):
            found.setdefault(query.source, query)
    if not found:
        raise InputError(
            f"query={', '.join(map(str, given))} holds no scans besides supports and results: "
            "there is nothing to segment"
        )
    return list(found.values())


def _queries(place: Path, left_out: set[Path]) -> list[Query]:
    if not place.is_dir():
        return [Query(place, listed=False)]
    held = list(_held(place, left_out))
    if held or any(excluded.is_relative_to(place.resolve()) for excluded in left_out):
        return [Query(path, listed=path != place) for path in held]
    return [Query(place, listed=False)]  # an empty folder: reading it explains what is missing


def _held(folder: Path, left_out: set[Path]) -> Iterator[Path]:
    for name, folders, files in os.walk(folder):
        here = Path(name)
        folders[:] = sorted(
            f for f in folders if f[0] != "." and (here / f).resolve() not in left_out
        )
        if here.resolve() not in left_out and holds_slices(here):
            yield here
        for file in sorted(here / f for f in files if f[0] != "."):
            readable = file.name.lower().endswith(READABLE_EXTENSIONS)
            if readable and file.resolve() not in left_out and not is_result(file):
                yield file


def unique_names(queries: Sequence[Query], taken: Mapping[str, str]) -> dict[str, str]:
    """A name for each source, unique even if case is ignored.

    It is the file name without extensions, or the folder's name; parent folders are prefixed where
    names collide.

    Args:
        queries: the scans.
        taken: names given by earlier runs, by source; they are kept.
    """
    names = {query.source: taken[query.source] for query in queries if query.source in taken}
    used = {name.lower() for name in (*RESERVED, *taken.values())}
    pending = [query for query in queries if query.source not in names]
    for depth in range(max((len(_own_place(q.path).parents) for q in pending), default=0)):
        wanted = {query.source: _name(query.path, depth) for query in pending}
        counts = Counter(name.lower() for name in wanted.values())
        fit = {s: n for s, n in wanted.items() if n.lower() not in used and counts[n.lower()] == 1}
        names |= fit
        used |= {name.lower() for name in fit.values()}
        pending = [query for query in pending if query.source not in names]
    for query in pending:  # same name, same folder, other extension
        numbered = (f"{_name(query.path, 0)}_{number}" for number in count(2))
        names[query.source] = next(name for name in numbered if name.lower() not in used)
        used.add(names[query.source].lower())
    return names


def _name(path: Path, depth: int) -> str:
    """A scan's name prefixed by ``depth`` parent folders, as text that can be drawn and written."""
    place = _own_place(path)
    above = [folder.name for folder in place.parents if folder.name][:depth]
    name = "_".join([*reversed(above), place.name if place.is_dir() else stem(place)])
    return UNDECODED.sub("_", name)
