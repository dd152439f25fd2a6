"""Labels are carried to where the support shows the same."""

from __future__ import annotations

from dataclasses import replace

import torch

from gmrd.matching.alignment import align
from gmrd.matching.dense import Annotated, carry_labels, carry_organs, shares
from gmrd.matching.kernel import TEMPERATURE
from gmrd.matching.reverse import inverse, reverse_dice
from helpers.tokens import box, grid

DEVIATIONS = (15.0, 35.0)


def annotated() -> Annotated:
    support = grid()
    places = support.positions()
    ball = ((places - torch.tensor([90.0, 150.0, 130.0])) / 45).square().sum(dim=-1) < 1
    return Annotated(support, ball[..., None].float())


def dice(probability: torch.Tensor, truth: torch.Tensor) -> float:
    found, true = probability[..., 0] > 0.5, truth[..., 0] > 0.5
    return float(2 * (found & true).sum() / (found.sum() + true.sum()))


def test_a_scan_labels_itself() -> None:
    support = annotated()
    expected = support.grid.positions()
    found = carry_labels(support.grid, support.grid.body, support, expected, DEVIATIONS).probability
    assert dice(found, support.shares) > 0.9


def test_tiles_and_bands_change_nothing() -> None:
    """Against one product of all positions; what lies beyond the reach weighs e^-3 at most."""
    support = annotated()
    grid_, expected = support.grid, support.grid.positions()
    found = carry_labels(grid_, grid_.body, support, expected, DEVIATIONS).probability
    here, places = grid_.tokens[grid_.body], expected[grid_.body]
    chosen = torch.arange(0, len(here), 97)
    far = (places[chosen][:, None] - places[None]) / torch.tensor([15.0, 35.0, 35.0])
    logits = TEMPERATURE * (here[chosen] @ here.T - 1) - 0.5 * far.square().sum(dim=-1)
    whole = torch.softmax(logits, dim=1) @ support.shares[grid_.body]
    torch.testing.assert_close(found[grid_.body][chosen], whole, atol=0.03, rtol=0)


def test_thinning_keeps_what_matters_and_finds_the_same() -> None:
    support = annotated()
    few = support.thinned()
    assert int(few.grid.body.sum()) < 0.7 * int(support.grid.body.sum())
    held = support.shares[..., 0] > 0
    assert bool((few.grid.body == support.grid.body)[held].all())
    assert few.standing_for is not None
    kept = float(few.standing_for[few.grid.body].sum())
    assert abs(kept / float(support.grid.body.sum()) - 1) < 0.1
    grid_, expected = support.grid, support.grid.positions()
    with_all, with_few = (
        carry_labels(grid_, grid_.body, shown, expected, DEVIATIONS).probability
        for shown in (support, few)
    )
    torch.testing.assert_close(with_few, with_all, atol=0.1, rtol=0)
    assert float((with_few - with_all).abs().mean()) < 0.005


def test_of_two_organs_that_look_alike_the_one_that_was_laid_there_wins() -> None:
    """Twins side by side, of which one is larger in the query: by place alone the other takes it.

    What a place says is repaired by expecting the organ where it was laid itself.
    """
    plain = grid()
    generator = torch.Generator().manual_seed(0)

    def scan(first: float, second: float) -> Annotated:
        places = plain.positions()[..., 1:]
        balls = [
            (places - torch.tensor([160.0, x])).norm(dim=-1) < radius
            for x, radius in ((100.0 + first - 30, first), (235.0, second))
        ]
        organs = torch.stack(balls, dim=-1)
        organs[..., 1] &= ~organs[..., 0]
        inside = organs.any(dim=-1, keepdim=True).float()
        tokens = torch.cat([inside, 1 - inside, torch.zeros(*inside.shape[:3], 14)], dim=-1)
        tokens = tokens + 0.1 * torch.randn(tokens.shape, generator=generator)
        return Annotated(
            replace(plain, tokens=torch.nn.functional.normalize(tokens, dim=-1)), organs.float()
        )

    support, query = scan(30, 30), scan(60, 30)
    expected = query.grid.positions()
    by_place = carry_labels(query.grid, query.grid.body, support, expected, DEVIATIONS)
    laid = expected.clone()
    laid[..., 1:] = (expected[..., 1:] - torch.tensor([160.0, 130.0])) / 2
    laid[..., 1:] += torch.tensor([160.0, 100.0])
    both = carry_organs(by_place, query.grid, query.grid.body, support, {0: laid}, DEVIATIONS)
    torch.testing.assert_close(both.organs[..., 1], by_place.organs[..., 1])
    seam = query.shares[..., 0].bool() & (expected[..., 2] > 170) & query.grid.body
    assert by_place.probability[seam].argmax(dim=-1).float().mean() > 0.3
    assert both.probability[seam].argmax(dim=-1).float().mean() < 0.1


def test_the_way_back_leads_home_only_from_the_right_place() -> None:
    support = annotated()
    query = grid(shift=(16.0, 0.0, 10.0))
    alignment = align(query, support.grid, box(query), box(support.grid))
    found = carry_labels(query, query.body, support, alignment.of(query), DEVIATIONS).probability
    right = reverse_dice(support, query, (found > 0.5).float(), alignment, DEVIATIONS)
    moved = (found > 0.5).float().roll(8, dims=2)
    wrong = reverse_dice(support, query, moved, alignment, DEVIATIONS)
    assert right[0] > 0.7
    assert wrong[0] < 0.4


def test_the_inverse_undoes_the_alignment() -> None:
    support = grid()
    query = grid(scale=0.9, shift=(16.0, 8.0, 10.0))
    alignment = align(query, support, box(query), box(support))
    back = inverse(alignment, query, support)
    expected = (support.positions() - torch.tensor([16.0, 8.0, 10.0])) / 0.9
    inner = support.body & (expected[..., 0] > 0) & (expected[..., 0] < query.heights[-1])
    assert (back - expected)[inner].norm(dim=1).median() < 8


def test_shares_are_areas() -> None:
    labels = torch.zeros(1, 2, 8, 8)
    labels[0, 0, :4, :2] = 1
    assert shares(labels, 4)[0, 0, 0].tolist() == [0.5, 0.0]
