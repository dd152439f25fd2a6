"""The weights of all pairs of two scans' cells, of which a long scan has too many to hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float32
from torch import Tensor

from gmrd.matching.kernel import resemblance, weighted_sums

HELD = 2**26
"""Most pairs whose weights are kept (0.3 GB); of more, every pass recomputes them in blocks."""
BLOCK = 2**24
"""Pairs in a block. All blocks are written to one buffer: separate ones fragmented the memory."""


@dataclass(frozen=True)
class Pairs:
    """Resemblances of all pairs of cells.

    Attributes:
        query: vectors of the query's cells, see :func:`gmrd.matching.kernel.extended`.
        support: likewise.
    """

    query: Float32[Tensor, "n e"]
    support: Float32[Tensor, "m e"]

    def sums(
        self, there: Float32[Tensor, "m k"], here: Float32[Tensor, "n l"]
    ) -> tuple[Float32[Tensor, "n k"], Float32[Tensor, "m l"]]:
        """Both sums in one pass, of values with several columns."""
        found, back = [], torch.zeros(len(self.support), here.shape[1])
        for rows, weights in self._blocks():
            found.append(weighted_sums(weights, there))
            back += weighted_sums(weights.T, here[rows])
        return torch.cat(found), back

    def sums_there(self, there: Float32[Tensor, "m k"]) -> Float32[Tensor, "n k"]:
        """For every cell of the query, the weighted sum of the support's values."""
        return torch.cat([weighted_sums(weights, there) for _, weights in self._blocks()])

    def sums_here(self, here: Float32[Tensor, " n"]) -> Float32[Tensor, " m"]:
        """For every cell of the support, the weighted sum of the query's values."""
        back = torch.zeros(len(self.support))
        for rows, weights in self._blocks():
            back += here[rows] @ weights
        return back

    @cached_property
    def _all(self) -> Float32[Tensor, "n m"]:
        return resemblance(self.query, self.support)

    def _blocks(self) -> Iterator[tuple[slice, Float32[Tensor, "rows m"]]]:
        if len(self.query) * len(self.support) <= HELD:
            yield slice(None), self._all
            return
        n_rows = max(1, BLOCK // len(self.support))
        buffer = torch.empty(n_rows, len(self.support))
        for start in range(0, len(self.query), n_rows):
            rows = slice(start, start + n_rows)
            some = self.query[rows]
            yield rows, resemblance(some, self.support, out=buffer[: len(some)])
