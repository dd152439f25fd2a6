"""Tuning on an annotated scan finds what tells its organs apart, and draws nothing by chance."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gmrd.matching.dense import Annotated, carry_labels
from gmrd.matching.tokens import TokenGrid
from gmrd.matching.tuning import Tuning, tune

PRIOR = (15.0, 35.0)
N_SLICES, SIDE, N_CHANNELS = 10, 16, 8


def scan(seed: int) -> Annotated:
    """An organ that one weak channel shows; the other channels are strong and say nothing."""
    generator = torch.Generator().manual_seed(seed)
    shares = torch.zeros(N_SLICES, SIDE, SIDE, 1)
    shares[2:8, 4:10, 5:11] = 1.0
    tokens = torch.randn(N_SLICES, SIDE, SIDE, N_CHANNELS, generator=generator)
    tokens[..., 0] = 0.8 * (shares[..., 0] - 0.5)
    body = torch.ones(N_SLICES, SIDE, SIDE, dtype=torch.bool)
    heights = 7.7 * torch.arange(N_SLICES)
    return Annotated(TokenGrid(F.normalize(tokens, dim=-1), body, heights, 10.0), shares)


def error(tuning: Tuning | None) -> float:
    """Of the labels carried from one scan to another that lies 12 mm aside."""
    support, query = scan(0), scan(1)
    expected = query.grid.positions() + torch.tensor([0.0, 12.0, -12.0])
    if tuning is not None:
        support, query = tuning.annotated(support), tuning.annotated(query)
    found = carry_labels(query.grid, query.grid.body, support, expected, PRIOR)
    return float((found.probability - query.shares).abs().mean())


def test_labels_of_another_scan_arrive_better() -> None:
    tuning = tune([scan(0)], PRIOR, 120)
    assert error(tuning) < 0.9 * error(None)


def test_the_same_seed_learns_the_same_and_another_another() -> None:
    first, again, other = (tune([scan(0)], PRIOR, 5, seed=seed) for seed in (0, 0, 1))
    assert first is not None
    assert again is not None
    assert other is not None
    assert torch.equal(first.projection, again.projection)
    assert not torch.equal(first.projection, other.projection)


def test_without_steps_nothing_changes() -> None:
    tuning = tune([scan(0)], PRIOR, 0)
    assert error(tuning) == pytest.approx(error(None), abs=1e-6)


def test_an_organ_on_few_slices_teaches_nothing() -> None:
    flat = scan(0)
    flat.shares[5:] = 0
    assert tune([flat], PRIOR, 3) is None
