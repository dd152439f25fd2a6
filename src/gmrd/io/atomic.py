"""Atomic writes: no reader sees a half-written file."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gmrd.errors import InputError, UnwritableError

REMEDIES = {
    errno.ENOSPC: "free some space, or choose a folder on another disk",
    errno.EDQUOT: "free some of your quota, or choose a folder on another disk",
    errno.EROFS: "choose a writable folder",
    errno.EACCES: "choose a folder that you may write to",
    errno.EEXIST: "a file is in the way of a folder; choose another place",
    errno.ENOTDIR: "a file is in the way of a folder; choose another place",
    errno.EISDIR: "a folder of that name exists; choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
}
"""What the user can do about a failed write."""

DEEPEST = 200
"""Most folders in a path."""

LONGEST = 200
"""Bytes of a file's name kept in its temporary name; a name may have 255."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path``, moved onto it if the block succeeds.

    A reader sees either the old file or the new one; a killed or failed writer leaves ``path`` as
    it was. The temporary name keeps the file name extension, because writers depend on it, and has
    a dot besides its first, without which torch writes no file.

    Raises:
        UnwritableError: the disk is full, the folder is not writable, or ``path`` is not a regular
            file: root would turn ``/dev/null`` into one.
    """
    try:
        yield from _replacing(path)
    except OSError as error:
        raise explained(path, error) from error


def writable_folder(path: Path) -> Path:
    """Make a folder for results, so that a bad one is refused before the work.

    Raises:
        UnwritableError: it cannot be made or is not writable.
    """
    try:
        _make(path)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise explained(path, error) from error


def refuse_same_file(source: Path, out: Path) -> None:
    """Refuse an output that is the input under the same or another name.

    Raises:
        InputError: it is.
    """
    if out.exists() and source.exists() and out.samefile(source):
        raise InputError(f"out={out} is the input and would overwrite it: choose another name")


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder that could not be made or written to; makes none, unlike writable_folder.

    Raises:
        UnwritableError: the closest folder above it that exists is not writable, or no folder.
    """
    closest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=closest):
            pass
    except OSError as error:
        raise explained(folder, error) from error


def explained(path: Path, error: OSError) -> OSError | UnwritableError:
    """The sentence for a failed write; the error itself where the system gives no reason."""
    if error.errno is None:
        return error
    remedy = REMEDIES.get(error.errno, "choose another place")
    name = str(path) if len(str(path)) < 400 else f"{str(path)[:400]}…"
    return UnwritableError(f"{name} cannot be written ({error.strerror}): {remedy}")


def _make(folder: Path) -> None:
    if len(folder.parts) > DEEPEST:  # Python makes them recursively
        raise InputError(f"{str(folder)[:100]}… is below too many folders: choose another place")
    folder.mkdir(parents=True, exist_ok=True)


def _is_systems(path: Path) -> bool:
    """Whether it is the system's, as is ``/dev/stdout``, a link to whatever file is written to."""
    folder = path.absolute().parent.resolve()
    return folder == Path("/dev") or folder.parts[1:2] in (("proc",), ("sys",))


def _replacing(path: Path) -> Iterator[Path]:
    if _is_systems(path) or (path.exists() and not path.is_file()):
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise UnwritableError(f"{path} cannot be written: it is {kind}; choose another name")
    _make(path.parent)
    ending = os.fsdecode(os.fsencode(path.name)[-LONGEST:])
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=f".{ending}")
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
