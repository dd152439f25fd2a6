"""A cache on disk of encoded supports and of what each found in a scan.

Later runs need not encode a support again, and a scan for which one more is annotated need not be
matched with the earlier ones again. An entry's name is a digest of the support's slices and masks,
of the scan's, of the encoder's name and the package's code, so nothing changed matches an old
entry.
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
from gmrd.matching.scan import WorkingScan
from gmrd.matching.segmenter import MatchingSupport
from gmrd.matching.tokens import TokenGrid
from gmrd.predict.shots import OneShot


def default_store() -> SupportStore:
    """The cache of this person's predictions."""
    return SupportStore(default_supports_dir())


class SupportStore(BoundedFolder):
    """A folder of encoded supports and one-shot results."""

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

    def one_shot(
        self,
        query: WorkingScan,
        support: MatchingSupport,
        encoder: str,
        find: Callable[[], OneShot],
        *,
        pieces: bool,
    ) -> OneShot:
        """What a support finds in a scan, from the cache if possible.

        Args:
            query: the scan.
            support: the annotated scan.
            encoder: name of the encoder.
            find: called if the cache has no result.
            pieces: whether surplus components are left out.
        """
        facts = f"{_digest(support, encoder)} {pieces}"
        name = f"{_digest_of(facts, query.spacing, query.ranks, query.body)}-found.pt"
        found = _load_shot(self.folder / name)
        if found is None:
            found = find()
            self.add(name, partial(_save_shot, found))
        return found

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


def _save_shot(shot: OneShot, path: Path) -> None:
    """Probabilities are mostly 0: only the others are written, and where they are."""
    organs = [(np.packbits(organ > 0), organ[organ > 0]) for organ in shot.probabilities]
    plain = {
        "shape": shot.probabilities.shape,
        "organs": [tuple(map(torch.from_numpy, organ)) for organ in organs],
        "estimated": shot.estimated.tolist(),
        "similarity": shot.similarity, "consistency": shot.consistency, "mirrored": shot.mirrored,
    }  # fmt: skip
    torch.save(plain, path)


def _load_shot(path: Path) -> OneShot | None:
    """A result, which is marked as used; None if it is missing or unreadable."""
    try:
        plain = torch.load(path, weights_only=True)
        probabilities = np.zeros(plain.pop("shape"), np.float32)
        for probability, (bits, values) in zip(probabilities, plain.pop("organs"), strict=True):
            held = np.unpackbits(bits.numpy(), count=probability.size).astype(bool)
            probability[held.reshape(probability.shape)] = values.numpy()
        os.utime(path)
        return OneShot(probabilities, np.array(plain.pop("estimated")), **plain)
    except Exception:  # missing, truncated or incompatible: it will be recomputed
        return None


def _digest(support: MatchingSupport, encoder: str) -> str:
    scan = support.scan
    facts = f"{encoder} {code_digest()}"
    return _digest_of(facts, scan.spacing, scan.ranks, scan.body, support.masks)


def _digest_of(facts: str, spacing: Sequence[float], *arrays: np.ndarray) -> str:
    total = hashlib.sha256(f"{facts} {spacing}".encode())
    for array in arrays:
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
