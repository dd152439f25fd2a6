"""Supervoxels decide together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gmrd.matching.regions import Regions

SPACING = (4.0, 1.0, 1.0)


def two_organs() -> tuple[np.ndarray, np.ndarray]:
    """Ranks of two bright blocks parted by a dark line, and which block is the first."""
    ranks = np.full((6, 40, 60), 0.2, dtype=np.float32)
    ranks[:, 8:32, 8:52] = 0.96
    ranks[:, :, 29:31] = 0.3
    first = np.zeros(ranks.shape, dtype=bool)
    first[:, 8:32, 8:29] = True
    return ranks, first


def test_a_leak_over_a_thin_line_loses_its_ground() -> None:
    ranks, first = two_organs()
    leaky = np.zeros((6, 2, 40, 60), dtype=np.float32)
    leaky[:, 0, 8:32, 8:36] = 0.9  # the first organ leaks over the line
    leaky[:, 1, 8:32, 36:52] = 0.9
    voted = Regions(ranks, leaky.any(axis=1), SPACING, organ_ml=8.0).vote(leaky.copy(), 0.5)
    lead = voted[:, 0] - voted[:, 1]
    strip = (slice(1, 5), slice(10, 30), slice(32, 36))
    assert (lead[strip] < 0.65).all()
    assert (lead[first] > 0.7).all()


@given(st.integers(0, 100))
def test_votes_keep_the_range_and_what_is_even(seed: int) -> None:
    ranks, _ = two_organs()
    random = np.random.default_rng(seed)
    probability = random.random((6, 1, 40, 60)).astype(np.float32)
    active = np.ones(ranks.shape, dtype=bool)
    regions = Regions(ranks, active, SPACING, organ_ml=2.0)
    voted = regions.vote(probability.copy(), 0.5)
    assert probability.min() <= voted.min()
    assert voted.max() <= probability.max()
    even = np.full_like(probability, 0.25)
    np.testing.assert_allclose(regions.vote(even.copy(), 0.5), even, atol=1e-6)


def test_far_from_all_organs_nothing_changes() -> None:
    ranks, _ = two_organs()
    active = np.zeros(ranks.shape, dtype=bool)
    active[2, 20, 12] = True
    noise = np.random.default_rng(0).random((6, 1, 40, 60)).astype(np.float32)
    voted = Regions(ranks, active, SPACING, organ_ml=2.0).vote(noise.copy(), 0.5)
    assert (voted[:, :, :, 30:] == noise[:, :, :, 30:]).all()
    assert not np.allclose(voted[2, 0, 15:25, 10:16], noise[2, 0, 15:25, 10:16])


def test_nothing_found_is_nothing_voted_on() -> None:
    ranks, _ = two_organs()
    empty = np.zeros((6, 1, 40, 60), dtype=np.float32)
    assert Regions(ranks, empty.any(axis=1), SPACING, organ_ml=2.0).vote(empty, 0.5) is empty


def test_an_organ_smaller_than_a_voxel_and_one_larger_than_the_scan_have_regions() -> None:
    ranks, first = two_organs()
    probability = first[:, None].astype(np.float32)
    for ml in (1e-6, 1e6):
        voted = Regions(ranks, first, SPACING, organ_ml=ml).vote(probability.copy(), 0.5)
        assert np.isfinite(voted).all()
