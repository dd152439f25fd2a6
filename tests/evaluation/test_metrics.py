"""Scores against hand-counted masks and an external oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from gmrd.evaluation.metrics import overlap_scores, volume_scores

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


@pytest.mark.parametrize(("axis", "step"), [(0, 7.5), (1, 1.25), (2, 0.5)])
def test_a_shift_is_measured_in_millimetres_of_its_axis(axis: int, step: float) -> None:
    mask = cube(start=3, stop=8)
    score = volume_scores(np.roll(mask, 1, axis=axis), mask, (7.5, 1.25, 0.5))
    assert score.mssd == approx(step)
    assert score.ravd == 0
    assert 0 < score.assd < score.hd95 <= score.mssd


def test_a_volume_of_one_slice() -> None:
    """Its slice goes on beyond the volume: the surface is the outline alone."""
    true = np.zeros((1, 8, 8), dtype=bool)
    true[0, 2:5, 2:5] = True
    score = volume_scores(np.roll(true, 1, axis=2), true, (5.0, 1.0, 2.0))
    assert (score.hd95, score.mssd) == (approx(2.0), approx(2.0))
    # Of 8 outline pixels each way: 3 of a side 2 mm away, 1 (the centre of the other) 1 mm.
    assert score.assd == approx(2 * (3 * 2.0 + 1 * 1.0) / 16)


def test_an_absent_organ_has_no_score() -> None:
    empty = np.zeros((2, 3, 4), dtype=bool)
    assert np.isnan(overlap_scores(empty, empty).dice)
    missed = volume_scores(empty, ~empty, (1.0, 1.0, 1.0))
    assert (missed.dice, missed.ravd) == (0, 100)
    assert np.isnan([missed.hd95, missed.assd, missed.mssd]).all()
    invented = volume_scores(~empty, empty, (1.0, 1.0, 1.0))
    assert np.isnan(list(vars(invented).values())).all()


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2, 2\).*\(1, 2, 3\)"):
        overlap_scores(np.ones((1, 2, 2), dtype=bool), np.ones((1, 2, 3), dtype=bool))


@settings(max_examples=50)
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
