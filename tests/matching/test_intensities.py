"""A query's ranks on its support's scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from gmrd.matching.alignment import Alignment
from gmrd.matching.intensities import on_scale_of
from gmrd.matching.scan import WorkingScan
from gmrd.matching.tokens import TokenGrid

SHAPE = (6, 128, 128)
IDENTITY = Alignment(torch.eye(3, 4), torch.zeros(6, 8, 8, 3), 0.0, 1.0)


def scan(seed: int = 0) -> tuple[WorkingScan, TokenGrid]:
    """Cells of one brightness each, with a token that tells each from all others."""
    generator = torch.Generator().manual_seed(seed)
    ranks = torch.rand(6, 8, 8, generator=generator).repeat_interleave(16, 1)
    ranks = ranks.repeat_interleave(16, 2).numpy()
    tokens = torch.nn.functional.normalize(torch.randn(6, 8, 8, 64, generator=generator), dim=-1)
    tokens = torch.cat([tokens, torch.zeros(6, 8, 8, 1)], dim=-1)
    fine = tokens.repeat_interleave(2, 1).repeat_interleave(2, 2)
    body = torch.ones(6, 16, 16, dtype=torch.bool)
    working = WorkingScan(ranks, np.ones(SHAPE, dtype=bool), (8.0, 2.0, 2.0))
    return working, TokenGrid(fine, body, working.heights, 16.0)


def test_a_scan_on_its_own_scale_stays_as_it_is() -> None:
    own, grid = scan()
    np.testing.assert_allclose(on_scale_of(own, own, (grid, grid), IDENTITY), own.ranks, atol=0.02)


def test_another_scale_is_undone() -> None:
    support, grid = scan()
    squeezed = replace(support, ranks=support.ranks**2)
    back = on_scale_of(support, squeezed, (grid, grid), IDENTITY)
    np.testing.assert_allclose(back, support.ranks, atol=0.02)


def test_what_has_no_counterpart_has_no_say() -> None:
    """A third of the query, brighter than all else, is in no way like the support."""
    support, grid = scan()
    ranks = support.ranks * 0.6
    ranks[:, :, 80:] = 1.0
    tokens = grid.tokens.clone()
    tokens[:, :, 10:] = torch.nn.functional.one_hot(torch.tensor(64), 65).float()
    query = replace(support, ranks=ranks)
    mapped = on_scale_of(support, query, (replace(grid, tokens=tokens), grid), IDENTITY)
    off = np.abs(query.ranks - support.ranks)[:, :, :80].max()
    np.testing.assert_allclose(mapped[:, :, :80], support.ranks[:, :, :80], atol=0.2 * off)


def test_with_nothing_in_common_the_ranks_stay() -> None:
    support, grid = scan()
    query, other = scan(seed=5)
    nowhere = replace(IDENTITY, matrix=torch.tensor([[1.0, 0, 0, 900], [0, 1, 0, 0], [0, 0, 1, 0]]))
    assert on_scale_of(support, query, (other, grid), nowhere) is query.ranks
