"""An organ that does not lie where the alignment of the scan puts it is found."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gmrd.matching.alignment import Alignment
from gmrd.matching.dense import Annotated
from gmrd.matching.location import locate
from gmrd.matching.tokens import TokenGrid
from helpers.tokens import CELL, STEP, grid

CENTRE = (80.0, 160.0, 150.0)


def ball(centre: tuple[float, float, float], radius: float = 30.0) -> Tensor:
    return (grid().positions() - torch.tensor(centre)).norm(dim=-1) < radius


def identity(query: TokenGrid) -> Alignment:
    still = torch.eye(3, 4)
    return Alignment(still, torch.zeros(*query.body.shape, 3), 0.0, 1.0)


def moved(*ways: tuple[int, int, int]) -> TokenGrid:
    """The plain scan with its ball and what surrounds it in other places, and noise in its own."""
    plain = grid()
    generator = torch.Generator().manual_seed(0)
    tokens = plain.tokens.clone()
    gone = ball(CENTRE, 40)
    noise = torch.randn(tokens[gone].shape, generator=generator)
    tokens[gone] = torch.nn.functional.normalize(noise, dim=-1)
    for way in ways:
        z, y, x = (c + n * mm for c, n, mm in zip(CENTRE, way, (STEP, CELL, CELL), strict=True))
        tokens[ball((z, y, x), 40)] = plain.tokens.roll(way, (0, 1, 2))[ball((z, y, x), 40)]
    return replace(plain, tokens=tokens)


@pytest.mark.parametrize("way", [(5, 0, 0), (-4, 2, 0), (9, -1, 2), (0, 0, -3)])
def test_an_organ_that_lies_elsewhere_is_found(way: tuple[int, int, int]) -> None:
    support = Annotated(grid(), ball(CENTRE)[..., None].float())
    query = moved(way)
    (found,) = locate(query, support, identity(query))
    there = -torch.tensor(way) * torch.tensor([STEP, CELL, CELL])
    torch.testing.assert_close(found.matrix[:, 3], there)


def test_an_organ_in_its_place_stays_there_while_another_moves() -> None:
    other = ball((130.0, 160.0, 210.0))
    masks = torch.stack([ball(CENTRE), other & ~ball(CENTRE)], dim=-1).float()
    query = moved((-5, 0, 0))
    alignment = identity(query)
    first, second = locate(query, Annotated(grid(), masks), alignment)
    assert first is not alignment
    assert second is alignment


def test_of_two_equal_places_the_nearer_one_is_chosen() -> None:
    support = Annotated(grid(), ball(CENTRE)[..., None].float())
    query = moved((9, 0, 0), (-3, 0, 0))
    (found,) = locate(query, support, identity(query))
    assert float(found.matrix[0, 3]) == pytest.approx(3 * STEP)


def test_the_alignment_s_scale_is_kept() -> None:
    """What lies 40 mm higher in a query of half the support's scale is 80 mm off in the support."""
    support = Annotated(grid(), ball(CENTRE)[..., None].float())
    query = grid(scale=2.0, shift=(80.0, 0.0, 0.0))
    double = torch.cat([2 * torch.eye(3), torch.zeros(3, 1)], dim=1)
    alignment = replace(identity(query), matrix=double)
    (found,) = locate(query, support, alignment)
    assert float(found.matrix[0, 3]) == pytest.approx(80, abs=2 * STEP)
    torch.testing.assert_close(found.matrix[:, :3], double[:, :3])


def test_an_organ_outside_the_body_stays_in_its_place() -> None:
    support = Annotated(grid(), torch.zeros(*grid().body.shape, 1))
    alignment = identity(support.grid)
    assert locate(grid(), support, alignment) == (alignment,)
