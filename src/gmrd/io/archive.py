"""Unpacking an untrusted zip without letting it write elsewhere or fill the disk."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from gmrd.errors import InputError
from gmrd.io.formats import MAX_FILES
from gmrd.io.temporary import temporary_folder

MAX_BYTES = 4 * 1024**3
MAX_RATIO = 1032
"""Deflate cannot compress further, so a member that claims more lies about its size."""


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A temporary folder with the contents of a zip, removed afterwards.

    Raises:
        InputError: the archive is damaged, encrypted or too large, or a member is a link or would
            be written outside the folder; then nothing is unpacked.
    """
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises many types on a damaged directory
        raise InputError(f"{path} cannot be opened as a zip: {error}") from error
    with archive, temporary_folder() as folder:
        # Not is_dir(), which fails on an empty name.
        members = [m for m in archive.infolist() if not m.filename.endswith("/")]
        _check(path, members)
        for member in members:
            _extract(path, archive, member, folder)
        yield folder


def _check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_FILES:
        raise InputError(f"{path} holds {len(members)} files, more than {MAX_FILES}: unpack it")
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES:
        raise InputError(
            f"{path} would unpack to {total / 1e9:.1f} GB, more than {MAX_BYTES / 1e9:.1f}: "
            "unpack it yourself if you trust it"
        )
    places = [_place(member) for member in members]
    counts = Counter(places)
    folders = {parent for place in places for parent in place.parents}
    for member, place in zip(members, places, strict=True):
        if not place.parts or place in folders or counts[place] > 1:
            raise InputError(
                f"{path} holds {member.filename!r}, which is a duplicate, both a file and a "
                "folder, or not a file name: unpack it yourself"
            )
        if place.is_absolute() or ".." in place.parts or ":" in place.parts[0]:
            raise InputError(
                f"{path} holds {member.filename!r}, which would be written outside its folder: "
                "the archive is hostile or damaged"
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InputError(f"{path} holds the link {member.filename!r}: archive the file itself")
        if member.flag_bits & 1:
            raise InputError(f"{path} is encrypted: unpack it first")
        if member.file_size > MAX_RATIO * max(member.compress_size, 1) + 1024:
            raise InputError(
                f"{path}: {member.filename!r} claims {member.file_size:,} bytes from "
                f"{member.compress_size:,} compressed ones: the archive is hostile or damaged"
            )


def _place(member: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(member.filename.replace("\\", "/"))


def _extract(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder / _place(member)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # zipfile stops at the size stated in the directory, which was checked.
        with archive.open(member) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
    except Exception as error:  # deflate, bzip2, LZMA and the file system each raise their own
        # Only the system's message: the temporary folder in its text will be gone.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{path}: {member.filename!r} cannot be unpacked: {reason}") from error
