"""Encoded supports on the disk, so that a support is encoded once for all runs.

An entry's name is a digest of the support's slices and masks, of the encoder's name and of the
package's code; a changed support never meets an old entry. The oldest entries go when all take
more than :data:`MOST_BYTES`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

import gmrd
from gmrd.io.atomic import replacing
from gmrd.io.cache_dir import default_cache_dir
from gmrd.matching.dense import Annotated
from gmrd.matching.segmenter import MatchingSupport
from gmrd.matching.tokens import TokenGrid

MOST_BYTES = 2 * 10**9


def default_store() -> SupportStore:
    """``$GMRD_CACHE/supports``, or ``~/.cache/gmrd/supports``."""
    return SupportStore(default_cache_dir() / "supports")


class SupportStore:
    """A folder of encoded supports, for its owner's eyes alone.

    Args:
        folder: made when the first entry is written.
        most_bytes: all entries together take at most this.
    """

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.folder, self.most_bytes = folder, most_bytes

    def encode(self, supports: Sequence[MatchingSupport], encoder: str, *, fine: bool) -> None:
        """Give every support its encoded cells, from the disk where they lie there.

        Args:
            supports: what is encoded is set on them.
            encoder: the network's name.
            fine: the fine cells, too; without, only the coarse ones.
        """
        for support in supports:
            name = _digest(support, encoder)
            for part in ("coarse", "mirrored", "fine") if fine else ("coarse", "mirrored"):
                setattr(
                    support, part, self._kept(f"{name}-{part}.pt", partial(getattr, support, part))
                )

    def size(self) -> tuple[int, int]:
        """Entries, and the bytes that they take."""
        entries = self._entries()
        return len(entries), sum(file.stat().st_size for file in entries)

    def clear(self, *, down_to: int = 0) -> int:
        """Delete the entries that were longest unused until the rest takes so few bytes.

        Returns:
            How many were deleted.
        """
        entries = sorted(self._entries(), key=lambda file: file.stat().st_mtime)
        total, deleted = sum(file.stat().st_size for file in entries), 0
        for file in entries:
            if total <= down_to:
                break
            total, deleted = total - file.stat().st_size, deleted + 1
            file.unlink(missing_ok=True)
        return deleted

    def _entries(self) -> list[Path]:
        return list(self.folder.glob("*.pt"))

    def _kept(self, name: str, make: Callable[[], Annotated]) -> Annotated:
        path = self.folder / name
        found = _load(path)
        if found is None:
            found = make()
            self._save(path, found)
        return found

    def _save(self, path: Path, made: Annotated) -> None:
        grid = made.grid
        window = grid.tokens.any(dim=-1)  # what was encoded: the body and a margin
        plain = {
            "tokens": grid.tokens[window], "window": window, "body": grid.body,
            "heights": grid.heights, "cell": grid.cell, "shares": made.shares,
        }  # fmt: skip
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            with replacing(path) as temporary:
                torch.save(plain, temporary)
            self.clear(down_to=self.most_bytes)
        except (OSError, ValueError):  # InputError is one: a full disk costs time, no result
            return


def _load(path: Path) -> Annotated | None:
    """An entry, which counts as used now; None where there is none that can be read."""
    try:
        plain = torch.load(path, weights_only=True)
        tokens = torch.zeros(*plain["body"].shape, plain["tokens"].shape[-1])
        tokens[plain["window"]] = plain["tokens"]
        os.utime(path)
        grid = TokenGrid(tokens, plain["body"], plain["heights"], plain["cell"])
        return Annotated(grid, plain["shares"])
    except Exception:  # missing, cut off, or of another make: it is made again
        return None


def _digest(support: MatchingSupport, encoder: str) -> str:
    total = hashlib.sha256(f"{encoder} {code_digest()} {support.scan.spacing}".encode())
    for array in (support.scan.ranks, support.scan.body, support.masks):
        total.update(f"{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:32]


@cache
def code_digest() -> str:
    """Of the package's source: results of another version are no longer the same."""
    total = hashlib.sha256()
    for file in sorted(Path(gmrd.__file__).parent.rglob("*.py")):
        total.update(file.read_bytes())
    return total.hexdigest()
