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
    errno.EEXIST: "a file is where a folder is needed; choose another place",
    errno.ENOTDIR: "a file is where a folder is needed; choose another place",
    errno.EISDIR: "a folder of that name is there; choose another name",
    errno.ENAMETOOLONG: "give it a shorter name",
}
"""What the user can do about a failed writing."""

LONGEST = 200
"""Bytes of a file's name that its temporary neighbour keeps; a name may have 255."""


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
        raise _explained(path, error) from error


def writable_folder(path: Path) -> Path:
    """Make a folder for results, before the work that they take.

    Raises:
        InputError: it cannot be made, or not be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise _explained(path, error) from error


def refuse_same_file(source: Path, out: Path) -> None:
    """Refuse an output that is the input under the same or another name.

    Raises:
        InputError: it is.
    """
    if out.exists() and source.exists() and out.samefile(source):
        raise InputError(f"out={out} is the input itself, which would be lost: choose another name")


def _explained(path: Path, error: OSError) -> OSError | InputError:
    if error.errno is None:
        return error
    remedy = REMEDIES.get(error.errno, "choose another place")
    name = str(path) if len(str(path)) < 400 else f"{str(path)[:400]}…"
    return InputError(f"{name} cannot be written ({error.strerror}): {remedy}")


def _replacing(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    ending = os.fsdecode(os.fsencode(path.name)[-LONGEST:])
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=f"-{ending}")
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
