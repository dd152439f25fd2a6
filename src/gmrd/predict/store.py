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
from typing import Any, TypeVar

import numpy as np
import torch

import gmrd
from gmrd.io.bounded_folder import DIGEST_DIGITS, BoundedFolder
from gmrd.io.cache_dir import default_supports_dir
from gmrd.matching.dense import Annotated
from gmrd.matching.scan import WorkingScan
from gmrd.matching.segmenter import MatchingSupport
from gmrd.matching.tokens import TokenGrid
from gmrd.predict.shots import OneShot

T = TypeVar("T")


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
            name = _name(support, encoder)
            for part in ("coarse", "mirrored", "fine") if fine else ("coarse", "mirrored"):
                make = partial(getattr, support, part)
                cells = self._kept(f"{name}-{part}.pt", make, _packed_cells, _unpacked_cells)
                setattr(support, part, cells)

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
        facts = f"{_name(support, encoder)} {query.digest} {pieces}"
        name = hashlib.sha256(facts.encode()).hexdigest()[:DIGEST_DIGITS]
        return self._kept(f"{name}-found.pt", find, _packed_shot, _unpacked_shot)

    def _kept(
        self,
        name: str,
        make: Callable[[], T],
        packed: Callable[[T], dict[str, Any]],
        unpacked: Callable[[dict[str, Any]], T],
    ) -> T:
        """An entry, which is marked as used; made and kept if it is missing or unreadable."""
        path = self.folder / name
        try:
            found = unpacked(torch.load(path, weights_only=True))
            os.utime(path)
        except Exception:  # missing, truncated or incompatible: it is recomputed
            found = make()
            self.add(name, lambda path: torch.save(packed(found), path))
        return found


def _packed_cells(made: Annotated) -> dict[str, Any]:
    grid = made.grid
    encoded = grid.tokens.any(dim=-1)  # the body and a margin
    return {
        "tokens": grid.tokens[encoded], "encoded": encoded, "body": grid.body,
        "heights": grid.heights, "cell": grid.cell, "shares": made.shares,
    }  # fmt: skip


def _unpacked_cells(plain: dict[str, Any]) -> Annotated:
    tokens = torch.zeros(*plain["body"].shape, plain["tokens"].shape[-1])
    tokens[plain["encoded"]] = plain["tokens"]
    grid = TokenGrid(tokens, plain["body"], plain["heights"], plain["cell"])
    return Annotated(grid, plain["shares"])


def _packed_shot(shot: OneShot) -> dict[str, Any]:
    """Probabilities are mostly 0: only the others are kept, and where they are."""
    organs = [(np.packbits(organ > 0), organ[organ > 0]) for organ in shot.probabilities]
    return {
        "shape": shot.probabilities.shape,
        "organs": [tuple(map(torch.from_numpy, organ)) for organ in organs],
        "estimated": shot.estimated.tolist(),
        "similarity": shot.similarity, "consistency": shot.consistency, "mirrored": shot.mirrored,
    }  # fmt: skip


def _unpacked_shot(plain: dict[str, Any]) -> OneShot:
    probabilities = np.zeros(plain.pop("shape"), np.float32)
    for probability, (bits, values) in zip(probabilities, plain.pop("organs"), strict=True):
        held = np.unpackbits(bits.numpy(), count=probability.size).astype(bool)
        probability[held.reshape(probability.shape)] = values.numpy()
    return OneShot(probabilities, np.array(plain.pop("estimated")), **plain)


def _name(support: MatchingSupport, encoder: str) -> str:
    facts = f"{encoder} {code_digest()} {support.digest}"
    return hashlib.sha256(facts.encode()).hexdigest()[:DIGEST_DIGITS]


@cache
def code_digest() -> str:
    """Digest of the package's source, because another version may give other results."""
    total = hashlib.sha256()
    for file in sorted(Path(gmrd.__file__).parent.rglob("*.py")):
        total.update(file.read_bytes())
    return total.hexdigest()
