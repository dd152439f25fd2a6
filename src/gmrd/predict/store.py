"""A cache of encoded supports on disk, so that later runs need not encode them again.

An entry's name is a digest of the support's slices and masks, the encoder's name and the package's
code, so a changed support never matches an old entry. The least recently used entries are deleted
when the cache exceeds :data:`MOST_BYTES`.
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
    """A private folder of encoded supports.

    Args:
        folder: created with the first entry.
        most_bytes: largest total size of the entries.
    """

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.folder, self.most_bytes = folder, most_bytes

    def encode(self, supports: Sequence[MatchingSupport], encoder: str, *, fine: bool) -> None:
        """Set the encoded cells of every support, from the cache if possible.

        Args:
            supports: get the cells as attributes.
            encoder: name of the encoder.
            fine: also the fine cells.
        """
        for support in supports:
            name = _digest(support, encoder)
            for part in ("coarse", "mirrored", "fine") if fine else ("coarse", "mirrored"):
                setattr(
                    support, part, self._kept(f"{name}-{part}.pt", partial(getattr, support, part))
                )

    def size(self) -> tuple[int, int]:
        """Number of entries and their total size in bytes."""
        entries = self._entries()
        return len(entries), sum(file.stat().st_size for file in entries)

    def clear(self, *, down_to: int = 0) -> int:
        """Delete the least recently used entries until at most ``down_to`` bytes are left.

        Returns:
            The number of deleted entries.
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
        window = grid.tokens.any(dim=-1)  # the encoded part: the body and a margin
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
        except (OSError, ValueError):  # also InputError: a full disk must not cost the result
            return


def _load(path: Path) -> Annotated | None:
    """An entry, which is marked as used; None if it is missing or unreadable."""
    try:
        plain = torch.load(path, weights_only=True)
        tokens = torch.zeros(*plain["body"].shape, plain["tokens"].shape[-1])
        tokens[plain["window"]] = plain["tokens"]
        os.utime(path)
        grid = TokenGrid(tokens, plain["body"], plain["heights"], plain["cell"])
        return Annotated(grid, plain["shares"])
    except Exception:  # missing, truncated or incompatible: it will be recomputed
        return None


def _digest(support: MatchingSupport, encoder: str) -> str:
    total = hashlib.sha256(f"{encoder} {code_digest()} {support.scan.spacing}".encode())
    for array in (support.scan.ranks, support.scan.body, support.masks):
        total.update(f"{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:32]


@cache
def code_digest() -> str:
    """Digest of the package's source, because another version may give other results."""
    total = hashlib.sha256()
    for file in sorted(Path(gmrd.__file__).parent.rglob("*.py")):
        total.update(file.read_bytes())
    return total.hexdigest()
