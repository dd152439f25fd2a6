"""Known transforms between two scans are found again."""

from __future__ import annotations

import pytest
import torch

from gmrd.matching.alignment import STRETCHES, align
from helpers.tokens import box, grid


@pytest.mark.parametrize(
    ("n_slices", "scale", "shift"),
    [
        (24, 1.0, (0.0, 0.0, 0.0)),
        (24, 1.0, (96.0, 0.0, 0.0)),
        (24, 1.0, (-80.0, 10.0, -20.0)),
        (24, 0.8, (20.0, 30.0, 30.0)),
        (24, 1.25, (0.0, -30.0, -40.0)),
        (12, 1.0, (60.0, 0.0, 0.0)),
    ],
    ids=["same", "half the volume", "shifted", "smaller", "larger", "partial overlap"],
)
def test_a_known_transform_is_found(
    n_slices: int, scale: float, shift: tuple[float, float, float]
) -> None:
    support = grid()
    query = grid(n_slices, scale=scale, shift=shift)
    found = align(query, support, box(query), box(support))
    expected = scale * query.positions() + torch.tensor(shift)
    shown = query.body & (expected[..., 0] >= 0) & (expected[..., 0] <= support.heights[-1])
    error = (found.of(query) - expected)[shown].norm(dim=1)
    assert error.median() < 8
    assert error.quantile(0.9) < 20


def test_confidence_tells_the_same_body_from_another() -> None:
    support = grid()
    same = align(grid(shift=(16.0, 0, 0)), support, box(support), box(support))
    generator = torch.Generator().manual_seed(1)
    noise = torch.nn.functional.normalize(
        torch.randn(support.tokens.shape, generator=generator), dim=-1
    )
    other = type(support)(noise, support.body, support.heights, support.cell)
    wrong = align(other, support, box(support), box(support))
    assert same.consistency > 0.7
    assert not same.collapsed
    assert wrong.consistency < 0.4


def test_a_single_slice_is_aligned() -> None:
    support = grid()
    query = grid(1, shift=(64.0, 0.0, 0.0))
    found = align(query, support, box(query), box(support))
    assert abs(float(found.of(query)[..., 0][query.body].median()) - 64) < 16


def test_slices_that_look_alike_are_not_laid_on_one_another() -> None:
    """A prism: nothing tells its slices apart, so each could be any of the support's."""
    plain = grid()
    tokens = plain.tokens[:1].expand_as(plain.tokens).contiguous()
    prism = type(plain)(tokens, plain.body, plain.heights, plain.cell)
    found = align(prism, prism, box(prism), box(prism))
    stretches = torch.linalg.svdvals(found.matrix[:, :3])
    assert float(stretches.min()) > STRETCHES[0] - 1e-4
    assert float(stretches.max()) < STRETCHES[1] + 1e-4
