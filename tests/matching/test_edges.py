"""Probabilities follow the image's edges and keep their range."""

from __future__ import annotations

import torch

from gmrd.matching.edges import follow_edges


def test_a_blurred_outline_moves_to_the_edge() -> None:
    ranks = torch.full((1, 40, 40), 0.2)
    ranks[:, :, 20:] = 0.8
    blurred = torch.sigmoid((torch.arange(40.0) - 19.5) / 4).expand(1, 1, 40, 40).contiguous()
    sharp = follow_edges(blurred, ranks)
    step, before = (p[0, 0, 20, 20] - p[0, 0, 20, 19] for p in (sharp, blurred))
    assert step > 4 * before
    assert sharp.min() >= 0
    assert sharp.max() <= 1


def test_what_is_flat_stays_as_it_is() -> None:
    flat = torch.full((2, 1, 24, 24), 0.7)
    noise = torch.rand(2, 24, 24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(follow_edges(flat, noise), flat)
    torch.testing.assert_close(follow_edges(torch.zeros(2, 1, 24, 24), noise), 0 * flat)
