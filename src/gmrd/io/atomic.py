"""Writing without half-written files."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gmrd.errors import InputError

REMEDIES = {
    errno.ENOSPC: "free some space, or choose a folder on another disk",
    errno.EDQUOT: "free some of your quota, or choose a folder on another disk",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "choose a folder that you may write to",
}
"""What the user can do about a failed writing."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary neighbour of ``path``, which takes its place if the block ends well.

    A reader sees the old file or the new one, never a part; a killed or failed writer leaves
    ``path`` as it was. The temporary name keeps the file's endings, which writers go by.

    Raises:
        InputError: If the disk is full or the folder cannot be written to.
    """
    try:
        yield from _replacing(path)
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        remedy = REMEDIES[error.errno]
        raise InputError(f"{path} cannot be written ({error.strerror}): {remedy}") from error


def _replacing(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=f"-{path.name}")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
