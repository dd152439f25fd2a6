"""A cache of encoded supports on disk, so that later runs need not encode them again.

An entry's name is a digest of the support's slices and masks, the encoder's name and the package's
code, so a changed support never matches an old entry.
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
from gmrd.io.bounded_folder import BoundedFolder
from gmrd.io.cache_dir import default_supports_dir
from gmrd.matching.dense import Annotated
from gmrd.matching.segmenter import MatchingSupport
from gmrd.matching.tokens import TokenGrid


def default_store() -> SupportStore:
    """The encoded supports of this person's predictions."""
    return SupportStore(default_supports_dir())


class SupportStore(BoundedFolder):
    """A folder of encoded supports."""

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

    def _kept(self, name: str, make: Callable[[], Annotated]) -> Annotated:
        found = _load(self.folder / name)
        if found is None:
            found = make()
            self._save(name, found)
        return found

    def _save(self, name: str, made: Annotated) -> None:
        grid = made.grid
        encoded = grid.tokens.any(dim=-1)  # the body and a margin
        plain = {
            "tokens": grid.tokens[encoded], "encoded": encoded, "body": grid.body,
            "heights": grid.heights, "cell": grid.cell, "shares": made.shares,
        }  # fmt: skip
        self.add(name, lambda path: torch.save(plain, path))


def _load(path: Path) -> Annotated | None:
    """An entry, which is marked as used; None if it is missing or unreadable."""
    try:
        plain = torch.load(path, weights_only=True)
        tokens = torch.zeros(*plain["body"].shape, plain["tokens"].shape[-1])
        tokens[plain["encoded"]] = plain["tokens"]
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
