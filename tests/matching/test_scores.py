"""Ranks as normal scores."""

from __future__ import annotations

import numpy as np

from gmrd.matching.scores import WIDEST, normal_scores


def test_scores_of_even_ranks_have_mean_0_and_variance_1() -> None:
    ranks = ((np.arange(10_000, dtype=np.float32) + 0.5) / 10_000)[None, None]
    scores = normal_scores(ranks)
    assert abs(scores.mean()) < 1e-3
    assert abs(scores.std() - 1) < 0.03


def test_bright_ranks_are_spread_as_far_as_others() -> None:
    ranks = np.array([[[0.0, 0.5, 0.52, 0.96, 0.98, 1.0]]], dtype=np.float32)
    scores = normal_scores(ranks)[0, 0]
    assert scores[4] - scores[3] > 2 * (scores[2] - scores[1])
    np.testing.assert_allclose(scores[[0, 1, -1]], [-WIDEST, 0, WIDEST], atol=1e-5)
