"""The annotated organ is laid over what was found of it."""

from __future__ import annotations

import pytest
import torch
from scipy import ndimage

from gmrd.matching.alignment import Alignment
from gmrd.matching.shape import Shapes, register_organs, registered_shapes

SPACING = (5.0, 2.0, 2.0)
SIZE = (12, 64, 64)


def ball(centre: tuple[float, float, float], radius: float) -> torch.Tensor:
    """A ball in mm, soft by nothing: (z, 1, y, x)."""
    axes = [
        (torch.arange(n) + half) * step
        for n, step, half in zip(SIZE, SPACING, (0.0, 0.5, 0.5), strict=True)
    ]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    inside = (places - torch.tensor(centre)).square().sum(dim=-1) < radius**2
    return inside.float()[:, None]


def ring(centre: tuple[float, float, float], radius: float, wall: float = 8.0) -> torch.Tensor:
    """The wall of a tube along z, in mm, closed at neither end."""
    tube = ball(centre, radius) - ball(centre, radius - wall)
    return tube[round(centre[0] / SPACING[0])].expand(SIZE[0], -1, -1, -1).clone()


def blurred(mask: torch.Tensor, mm: float = 8.0) -> torch.Tensor:
    """As matching finds it: soft by a cell."""
    deviations = (mm / SPACING[0], 0, mm / SPACING[1], mm / SPACING[2])
    return torch.from_numpy(ndimage.gaussian_filter(mask.numpy(), deviations, mode="nearest"))


def shapes(mask: torch.Tensor) -> Shapes:
    return Shapes(mask, SPACING)


def aligned(shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Alignment:
    matrix = torch.cat([torch.eye(3), torch.tensor(shift)[:, None]], dim=1)
    return Alignment(matrix, torch.zeros(SIZE[0], 8, 8, 3), 0.0, 1.0)


def dice(found: torch.Tensor, true: torch.Tensor) -> float:
    found = found > 0.5
    return float(2 * (found & (true > 0.5)).sum() / (found.sum() + (true > 0.5).sum()))


def fit(found: torch.Tensor, annotated: Shapes, alignment: Alignment) -> torch.Tensor:
    heights = torch.arange(SIZE[0]) * SPACING[0]
    frame = heights, SPACING[1], annotated, [alignment]
    return registered_shapes(found, register_organs(found, *frame), *frame)


@pytest.mark.parametrize("radius", [14.0, 17.0, 20.0])
def test_a_moved_and_scaled_organ_is_laid_where_it_is(radius: float) -> None:
    annotated = shapes(ball((25, 60, 60), 17))
    true = ball((30, 68, 54), radius)
    assert dice(fit(true, annotated, aligned()), true) > 0.85


def test_a_leak_into_a_neighbour_goes() -> None:
    annotated = shapes(ball((27, 60, 60), 20))
    true = ball((27, 64, 60), 20)
    found = true.clone()
    found[3:8, :, 28:36, 40:60] = 1
    fitted = fit(found, annotated, aligned())
    assert dice(fitted, true) > dice(found, true) + 0.03
    assert fitted[5, 0, 32, 52:].max() < 0.1


def test_the_alignment_is_where_the_fit_begins() -> None:
    annotated = shapes(ball((25, 100, 100), 15))
    true = ball((25, 30, 30), 15)
    assert dice(fit(true, annotated, aligned((0.0, 70.0, 70.0))), true) > 0.85


def test_an_organ_that_was_not_found_stays_so() -> None:
    nothing = torch.zeros_like(ball((25, 60, 60), 10))
    assert not fit(nothing, shapes(ball((25, 60, 60), 10)), aligned()).any()


@pytest.mark.parametrize("radius", [13.0, 24.0])
def test_a_fit_tells_where_in_the_support_an_organ_s_parts_lie(radius: float) -> None:
    annotated = shapes(ball((25, 60, 60), 17))
    found = ball((27, 66, 56), radius)
    heights = torch.arange(SIZE[0]) * SPACING[0]
    (fit_,) = register_organs(found, heights, SPACING[1], annotated, [aligned()])
    assert fit_ is not None
    here = torch.tensor(
        [[27.0, 66.0, 56.0], [27.0, 66.0 + radius, 56.0], [27.0, 66.0, 56 - radius]]
    )
    there = torch.tensor([[25.0, 60.0, 60.0], [25.0, 77.0, 60.0], [25.0, 60.0, 43.0]])
    torch.testing.assert_close(fit_.positions(here), there, atol=4.0, rtol=0)


def test_what_was_not_found_has_no_fit() -> None:
    nothing = torch.zeros_like(ball((25, 60, 60), 10))
    heights = torch.arange(SIZE[0]) * SPACING[0]
    annotated = shapes(ball((25, 60, 60), 10))
    assert register_organs(nothing, heights, SPACING[1], annotated, [aligned()]) == [None]


def test_a_thin_wall_is_laid_where_it_is() -> None:
    annotated = shapes(ring((30, 60, 60), 28))
    true = ring((30, 66, 54), 28)
    found = blurred(true)
    assert found.max() < 0.5
    fitted = fit(found, annotated, aligned())
    assert dice(fitted, true) > 0.65 > 0.5 > dice(annotated.masks, true)


@pytest.mark.parametrize(
    ("mask", "low", "high"),
    [(ball((30, 60, 60), 26), 0.98, 1.0), (ring((30, 60, 60), 28), 0.3, 0.6)],
)
def test_a_thick_organ_can_be_found_with_certainty_and_a_thin_wall_cannot(
    mask: torch.Tensor, low: float, high: float
) -> None:
    assert low < float(shapes(mask).attainable) <= high
