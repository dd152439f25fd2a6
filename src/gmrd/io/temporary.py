"""Private temporary folders that are cleaned up even after their process was killed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "gmrd-"

ALIVE = ".alive"
"""File that the process keeps locked; the system releases the lock when the process ends."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end; leftovers of killed processes are removed first."""
    remove_leftovers()
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name,
        FileLock(Path(name, ALIVE)),
    ):
        content = Path(name, "content")
        content.mkdir()
        yield content


def remove_leftovers() -> None:
    """Remove temporary folders whose process has ended."""
    for mark in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{ALIVE}"):
        try:
            with FileLock(mark, timeout=0):
                shutil.rmtree(mark.parent, ignore_errors=True)
        except (Timeout, OSError):  # in use, or owned by someone else
            continue
