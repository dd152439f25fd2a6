"""Temporary folders that only their owner can read, and that go however their process ends."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "gmrd-"

ALIVE = ".alive"
"""File in a folder that its process holds locked; the system unlocks it when the process ends."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end; those that killed processes left are removed first."""
    remove_leftovers()
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name,
        FileLock(Path(name, ALIVE)),
    ):
        content = Path(name, "content")
        content.mkdir()
        yield content


def remove_leftovers() -> None:
    """Remove the folders below the system's temporary folder whose process has ended."""
    for mark in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{ALIVE}"):
        try:
            with FileLock(mark, timeout=0):
                shutil.rmtree(mark.parent, ignore_errors=True)
        except (Timeout, OSError):  # in use, or somebody else's
            continue
