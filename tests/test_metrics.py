"""Scores against hand-counted masks and an external oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from gmrd.metrics import overlap_scores, volume_scores

approx = pytest.approx

MASKS = arrays(bool, (3, 5, 6), elements=st.booleans())


def cube(*, start: int, stop: int) -> np.ndarray:
    mask = np.zeros((12, 12, 12), dtype=bool)
    mask[start:stop, start:stop, start:stop] = True
    return mask


def test_counts_by_hand() -> None:
    score = overlap_scores(cube(start=2, stop=6), cube(start=4, stop=8))
    assert score.dice == approx(2 * 8 / 128)
    assert score.iou == approx(8 / 120)


def test_a_shift_is_measured_in_millimetres() -> None:
    mask = cube(start=3, stop=8)
    score = volume_scores(np.roll(mask, 1, axis=0), mask, (7.5, 1.0, 1.0))
    assert score.mssd == approx(7.5)
    assert score.ravd == 0
    assert 0 < score.assd < score.hd95 <= score.mssd


def test_an_absent_organ_has_no_score() -> None:
    empty = np.zeros((2, 3, 4), dtype=bool)
    assert np.isnan(overlap_scores(empty, empty).dice)
    missed = volume_scores(empty, ~empty, (1.0, 1.0, 1.0))
    assert missed.dice == 0
    assert np.isnan(missed.assd)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2, 2\).*\(1, 2, 3\)"):
        overlap_scores(np.ones((1, 2, 2), dtype=bool), np.ones((1, 2, 3), dtype=bool))


@settings(max_examples=50, deadline=None)
@given(MASKS, MASKS)
def test_scores_are_symmetric_and_consistent(first: np.ndarray, second: np.ndarray) -> None:
    if not (first.any() and second.any()):
        return
    spacing = (2.0, 1.0, 1.0)
    one, other = volume_scores(first, second, spacing), volume_scores(second, first, spacing)
    assert one.dice == approx(other.dice)
    assert one.dice == approx(2 * one.iou / (1 + one.iou))
    assert one.assd == approx(other.assd, nan_ok=True)


def test_the_challenge_figures(chaos_ct) -> None:
    """The CHAOS organisers state 0.978, 0.665 %, 0.734 mm and 14 mm for this pair."""
    predicted, true = (
        np.stack(
            [np.asarray(Image.open(file)) > 0 for file in sorted((chaos_ct / name).glob("*.png"))]
        )
        for name in ("Segmentation", "Ground")
    )
    score = volume_scores(predicted, true, (2.0, 0.7266, 0.7266))
    assert score.dice == approx(0.978, abs=5e-4)
    assert score.ravd == approx(0.665, abs=1e-3)
    assert score.assd == approx(0.734, abs=1e-3)
    assert score.mssd == approx(14.0)
