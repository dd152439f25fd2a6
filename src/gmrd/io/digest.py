"""Digests of files and folders: equal content, equal digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gmrd.errors import InputError
from gmrd.io.formats import expanded, files_below, is_folder, refuse_no_file


def digest(path: str | Path) -> str:
    """SHA-256 of a file, or of all files in a folder and their relative paths.

    Raises:
        InputError: it is missing, not a regular file, holds too many, or cannot be read.
    """
    place = expanded(path)
    try:
        if not is_folder(place):
            refuse_no_file(place)
            return _of_file(place)
        total = hashlib.sha256()
        for file in files_below(place):
            total.update(f"{file.relative_to(place)}:{_of_file(file)}\n".encode())
        return total.hexdigest()
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror or error}") from error


def _of_file(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            total.update(part)
    return total.hexdigest()
