"""A private folder of files that can be recomputed, kept below a size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gmrd.io.atomic import replacing

MOST_BYTES = 2 * 10**9

DIGEST_DIGITS = 32
ENTRIES = "[0-9a-f]" * DIGEST_DIGITS + "-*.pt"
"""Names of the files that may be deleted; somebody's own checkpoint has no such name."""


class BoundedFolder:
    """Files named after a digest; the least recently used are deleted when they exceed a size.

    Args:
        folder: created with the first file.
        most_bytes: largest total size of the files.
    """

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.folder, self.most_bytes = folder, most_bytes

    def size(self) -> tuple[int, int]:
        """Number of files and their total size in bytes."""
        files = self._files()
        return len(files), sum(file.stat().st_size for file in files)

    def add(self, name: str, write: Callable[[Path], None]) -> None:
        """Write a file, then delete the least recently used ones if the folder is too large.

        A file that cannot be written is left out: it must not cost the result.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            with replacing(self.folder / name) as temporary:
                write(temporary)
            self.clear(down_to=self.most_bytes)
        except (OSError, ValueError):  # also InputError
            return

    def clear(self, *, down_to: int = 0) -> int:
        """Delete the least recently used files until at most ``down_to`` bytes are left.

        Returns:
            The number of deleted files.
        """
        files = sorted(self._files(), key=lambda file: file.stat().st_mtime)
        total, deleted = sum(file.stat().st_size for file in files), 0
        for file in files:
            if total <= down_to:
                break
            total, deleted = total - file.stat().st_size, deleted + 1
            file.unlink(missing_ok=True)
        return deleted

    def _files(self) -> list[Path]:
        return list(self.folder.glob(ENTRIES))
