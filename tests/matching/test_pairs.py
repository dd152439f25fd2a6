"""Sums over pairs of cells are the same, however many pairs are held at once."""

from __future__ import annotations

import pytest
import torch

from gmrd.matching import pairs
from gmrd.matching.alignment import align
from gmrd.matching.kernel import resemblance
from gmrd.matching.pairs import Pairs
from helpers.tokens import box, grid


@pytest.mark.parametrize("block", [1, 50, 70, None], ids=["a row", "7 rows", "10 rows", "all"])
def test_blocks_sum_to_the_whole(block: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if block is not None:
        monkeypatch.setattr(pairs, "HELD", 100)
        monkeypatch.setattr(pairs, "BLOCK", block)
    generator = torch.Generator().manual_seed(0)
    query, support, here, there = (
        torch.randn(*shape, generator=generator) for shape in ((23, 4), (7, 4), (23, 2), (7, 3))
    )
    weights = resemblance(query, support)
    found = Pairs(query, support)
    to, back = found.sums(there, here)
    torch.testing.assert_close(to, weights @ there)
    torch.testing.assert_close(back, weights.T @ here)
    assert torch.equal(found.sums_there(there), to)
    torch.testing.assert_close(found.sums_here(here[:, 0].contiguous()), back[:, 0])


def test_no_more_pairs_than_allowed_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "HELD", 100)
    monkeypatch.setattr(pairs, "BLOCK", 70)
    found = Pairs(torch.ones(23, 4), torch.ones(7, 4))
    assert [weights.numel() for _, weights in found._blocks()] == [70, 70, 21]


def test_a_long_scan_is_aligned_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    support = grid()
    query = grid(24, shift=(96.0, 0.0, 0.0))
    whole = align(query, support, box(query), box(support))
    monkeypatch.setattr(pairs, "HELD", 1000)
    monkeypatch.setattr(pairs, "BLOCK", 1000)
    blocks = align(query, support, box(query), box(support))
    torch.testing.assert_close(blocks.matrix, whole.matrix, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(blocks.field, whole.field, rtol=1e-3, atol=1e-2)
    assert blocks.similarity == pytest.approx(whole.similarity, rel=1e-4)
