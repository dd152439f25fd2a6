"""Ranks within the body are the same for every scanner's scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmrd.matching.ranks import WIDEST, body_mask, normal_scores, ranks, standardised_ranks
from helpers.scans import ball

IMAGE, _ = ball(1)


@given(st.floats(0.01, 100), st.floats(-1000, 1000))
def test_a_linear_change_of_intensities_changes_nothing(gain: float, offset: float) -> None:
    image = np.round(IMAGE).astype(np.float32)
    body = np.ones(image.shape, dtype=bool)
    changed = (gain * image.astype(np.float64) + offset).astype(np.float32)
    np.testing.assert_allclose(ranks(changed, body), ranks(image, body), atol=2e-3)


def test_ranks_are_uniform_in_the_body_and_ordered() -> None:
    body = body_mask(IMAGE)
    found = ranks(IMAGE, body)
    assert np.histogram(found[body], bins=4, range=(0, 1))[0] / body.sum() == pytest.approx(
        0.25, abs=0.01
    )
    order = np.argsort(IMAGE.ravel())
    assert (np.diff(found.ravel()[order]) >= 0).all()


def test_a_bright_stomach_does_not_hide_the_fat() -> None:
    """Air at 5, fat at 60, muscle at 200 and a lake at 3000: the body is all but the air."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:160j, -1:1:160j]
    radius = np.hypot(y / 0.8, x / 0.9)
    slice_ = np.where(radius < 1, 60.0, 5.0)
    slice_[radius < 0.8] = 200
    slice_[np.hypot(y, x + 0.2) < 0.4] = 3000
    image = (slice_[None] * rng.uniform(0.8, 1.2, (4, 160, 160))).astype(np.float32)
    found, true = body_mask(image), np.broadcast_to(radius < 1, image.shape)
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.92
    assert found[:, (radius < 1) & (radius > 0.8)].mean() > 0.99


def test_a_volume_cropped_to_an_organ_is_all_body() -> None:
    """Bright organs in dark fat, as with suppressed fat: what is dark is not air."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    organs = (np.hypot(y - 0.2, x) < 0.4) | (np.hypot(y + 0.7, x - 0.6) < 0.3) | (x + y < -1.2)
    tissue = np.where(organs, 300.0, 90.0 + 50 * x)
    image = (tissue[None] * rng.uniform(0.7, 1.3, (8, 96, 96))).astype(np.float32)
    assert body_mask(image).mean() > 0.99


def test_fat_is_body_where_air_was_clipped() -> None:
    """A CT's window takes the air to the minimum, and fat is the darkest of what is left."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:160j, -1:1:160j]
    radius = np.hypot(y / 0.8, x / 0.9)
    tissue = np.full(y.shape, -1000.0)
    tissue[radius < 1] = -100
    for row, column in ((0, 0.45), (0, -0.45), (-0.4, 0), (0.4, 0)):
        tissue[np.hypot(y - row, x - column) < 0.2] = 50
    image = tissue[None] + rng.normal(0, 10, (4, 160, 160))
    clipped = np.clip(image, -175, 250).astype(np.float32)
    found, true = body_mask(clipped), np.broadcast_to(radius < 1, image.shape)
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.97


@pytest.mark.parametrize("image", [np.zeros((2, 8, 8)), np.full((1, 8, 8), 7.0)])
def test_a_constant_volume_is_all_body(image: np.ndarray) -> None:
    assert body_mask(image.astype(np.float32)).all()


def test_scores_of_even_ranks_have_mean_0_and_variance_1() -> None:
    even = ((np.arange(10_000, dtype=np.float32) + 0.5) / 10_000)[None, None]
    scores = normal_scores(even)
    assert abs(scores.mean()) < 1e-3
    assert abs(scores.std() - 1) < 0.03


def test_bright_ranks_are_spread_as_far_as_others() -> None:
    spread = np.array([[[0.0, 0.5, 0.52, 0.96, 0.98, 1.0]]], dtype=np.float32)
    scores = normal_scores(spread)[0, 0]
    assert scores[4] - scores[3] > 2 * (scores[2] - scores[1])
    np.testing.assert_allclose(scores[[0, 1, -1]], [-WIDEST, 0, WIDEST], atol=1e-5)


def test_standardised_ranks_know_no_scale_and_have_a_spread_of_one() -> None:
    image = IMAGE - IMAGE.min() + 1
    first = standardised_ranks(image.astype(np.float32))
    again = standardised_ranks((50 * image).astype(np.float32))
    np.testing.assert_allclose(again, first, atol=2e-3)
    assert float(first[body_mask(IMAGE)].std()) == pytest.approx(1, abs=0.01)
