"""An organ that resembles its counterpart less than others do theirs is not taken for them."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F

from gmrd.matching.dense import Annotated, Evidence, carry_labels
from gmrd.matching.scaling import local_scaling
from gmrd.matching.tokens import TokenGrid

DEVIATIONS = (15.0, 200.0)
LIKE_NOTHING, FAITHFUL, CHANGED, BESIDE = torch.eye(4)


def scan(first: torch.Tensor, second: torch.Tensor) -> TokenGrid:
    """A slice with two organs of 4 × 4 cells, side by side, in a body that resembles neither."""
    tokens = LIKE_NOTHING.expand(1, 12, 12, 4).clone()
    tokens[0, 4:8, 2:6], tokens[0, 4:8, 6:10] = first, second
    body = torch.ones(1, 12, 12, dtype=torch.bool)
    return TokenGrid(F.normalize(tokens, dim=-1), body, torch.zeros(1), 10.0)


def annotated() -> Annotated:
    """The second organ resembles the first a little."""
    shares = torch.zeros(1, 12, 12, 2)
    shares[0, 4:8, 2:6, 0] = shares[0, 4:8, 6:10, 1] = 1
    return Annotated(scan(FAITHFUL, CHANGED + 0.2 * FAITHFUL), shares)


QUERY = scan(FAITHFUL, 0.5 * CHANGED + 0.8 * FAITHFUL + 0.5 * BESIDE)
"""Here it resembles the other's first organ more than its own."""


def probability(scaling: torch.Tensor | None) -> torch.Tensor:
    found = carry_labels(QUERY, QUERY.body, annotated(), QUERY.positions(), DEVIATIONS)
    return replace(found, scaling=scaling).probability


def test_a_changed_organ_is_told_from_the_one_it_has_come_to_resemble() -> None:
    scaling = local_scaling(QUERY, annotated())
    assert scaling[1] > 1 > scaling[0]
    plain, scaled = probability(None), probability(scaling)
    second = plain[0, 4:8, 6:10]
    assert bool((second[..., 0] > second[..., 1]).all())
    second = scaled[0, 4:8, 6:10]
    assert bool((second[..., 1] > second[..., 0]).all())
    first = scaled[0, 4:8, 2:6]
    assert bool((first[..., 0] > first[..., 1]).all())


def test_the_background_neither_gains_nor_loses() -> None:
    scaling = local_scaling(QUERY, annotated())
    torch.testing.assert_close(probability(scaling).sum(dim=-1), probability(None).sum(dim=-1))


def test_one_organ_alone_is_left_as_it_is() -> None:
    alone = annotated().only(0)
    torch.testing.assert_close(local_scaling(QUERY, alone), torch.ones(1))


def test_nothing_found_stays_nothing() -> None:
    nothing = Evidence(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2), torch.tensor([2.0, 0.5]))
    assert not bool(nothing.probability.any())


def test_a_query_without_a_body_scales_nothing() -> None:
    empty = replace(QUERY, body=torch.zeros_like(QUERY.body))
    torch.testing.assert_close(local_scaling(empty, annotated()), torch.ones(2))
