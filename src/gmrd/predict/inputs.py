"""Which scans a path means: one file, a DICOM series, or a folder of files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gmrd.errors import InputError
from gmrd.io.names import READABLE_ENDINGS


def find_queries(path: str | Path, *, exclude: Iterable[str | Path] = ()) -> list[Path]:
    """The scans that a path names, sorted; files in ``exclude`` are left out of a folder.

    A folder that holds a file of a known ending is a folder of scans; any other folder is
    taken as one DICOM series.

    Raises:
        InputError: there is nothing to segment there.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise InputError(f"query={place}: there is no such file or folder")
    if not place.is_dir():
        return [place]
    scans = sorted(file for file in place.iterdir() if file.name.lower().endswith(READABLE_ENDINGS))
    if not scans:
        return [place]
    left_out = {Path(file).expanduser().resolve() for file in exclude}
    queries = [file for file in scans if file.resolve() not in left_out]
    if not queries:
        raise InputError(f"query={place} holds the supports only: there is nothing to segment")
    return queries
