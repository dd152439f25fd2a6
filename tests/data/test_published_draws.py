"""Where the public code draws and augments otherwise: each rule against a plain restatement."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from gmrd.data.augmentation import Augmentation
from gmrd.data.episodes import augment
from gmrd.data.stretches import find_stretches
from helpers.data import MakeData

AREAS = np.array([  # slices x labels; label 0 is background
    [0, 300, 0, 250, 0],
    [0, 300, 40, 10, 30],
    [0, 300, 260, 10, 30],
    [0, 300, 40, 10, 0],
    [0, 300, 10, 10, 0],
    [0, 0, 10, 0, 0],
])  # fmt: skip
"""Label 1 is large in every run, 2 and 3 in some, 4 in none."""


def test_rejection_draws_again_until_the_run_is_large_enough() -> None:
    stretches = find_stretches(AREAS, np.ones(6, bool), np.ones(5, bool), length=2, min_area=200.0)
    rng = np.random.default_rng(0)
    found = Counter(stretches.draw(rng, "rejection") for _ in range(20_000))
    expected = Counter(rejected(rng) for _ in range(200_000))
    assert set(found) == set(expected)
    counts, weights = (np.array([of[key] for key in sorted(expected)]) for of in (found, expected))
    assert chisquare(counts, weights / weights.sum() * counts.sum()).pvalue > 0.01
    even = Counter(stretches.draw(rng)[0] for _ in range(3_000))
    assert chisquare([even[label] for label in (1, 2, 3)]).pvalue > 0.01


def rejected(rng: np.random.Generator) -> tuple[int, int]:
    """Restated: draw a label and a run of it; if the run is too small, draw both again."""
    while True:
        label = int(rng.integers(1, AREAS.shape[1]))
        held = np.flatnonzero(AREAS[:, label])
        start = int(rng.choice(held[:-1]))
        if AREAS[start : start + 2, label].max() >= 200:
            return label, start


def test_the_data_module_hands_the_rule_on(make_data: MakeData) -> None:
    even, rejection = make_data(augmentation=None), make_data(augmentation=None, draw="rejection")
    assert even.episodes().draw == "even"
    assert rejection.episodes().draw == "rejection"
    episodes = [data.episodes() for data in (even, rejection)]
    pairs = [[of[i].support_images for of in episodes] for i in range(20)]
    assert not all(torch.equal(*pair) for pair in pairs)


ONLY_SHEAR = {"rotation": 0, "shift": 0, "scale": (1, 1), "elastic_alpha": 0}


@pytest.mark.parametrize(("about", "origin"), [("centre", 127.5), ("corner", 0.0)])
def test_a_shear_leaves_its_point_in_place(about: str, origin: float) -> None:
    """Restated: a pixel at (x, y) is taken from x - shear * (y - origin)."""
    moving = Augmentation(shear=5, **ONLY_SHEAR, shear_about=about)  # type: ignore[arg-type]
    grid = moving._sampling_grid(256, 256, np.random.default_rng(3)).numpy()
    source_x, source_y = (grid[..., axis] * 127.5 + 127.5 for axis in (0, 1))
    y, x = np.mgrid[:256, :256]
    shear = (x - source_x)[255, 0] / (255 - origin)
    assert 0.005 < abs(shear) <= np.tan(np.deg2rad(5))
    np.testing.assert_allclose(source_x, x - shear * (y - origin), atol=1e-3)
    np.testing.assert_allclose(source_y, y, atol=1e-3)


def test_a_shear_about_the_corner_moves_the_centre_sideways() -> None:
    """Restated: shifted, sheared about the corner, scaled about the centre."""
    public = Augmentation(elastic_alpha=0, rotation=0, shear_about="corner")
    rng, moved = np.random.default_rng(0), []
    for _ in range(4_000):
        matrix, shear = public._inverse_matrix(rng)
        shift_x, shift_y = rng.uniform(-5, 5, 2)
        moved.append((shift_x + shear * (shift_y + 127.5)) / matrix[0, 0])
    assert np.std(moved) == pytest.approx(7.4, abs=0.3)
    grids = [public._sampling_grid(65, 65, np.random.default_rng(i)) for i in range(300)]
    # where the grid looks at the centre is the inverse of where the centre goes
    looked = [float(grid[32, 32, 0]) * 128 for grid in grids]
    assert np.std(looked) == pytest.approx(7.4 / 1.05, abs=0.6)


@pytest.mark.parametrize(("border", "value"), [("lowest", -1.5), ("mean", 0.0)])
def test_what_enters_at_the_border(border: str, value: float) -> None:
    images = torch.full((1, 64, 64), 2.0)
    images[:, 20:40, 20:40] = -1.5
    away = Augmentation(
        rotation=0, shear=0, shift=200, scale=(1, 1), elastic_alpha=0, border=border
    )  # type: ignore[arg-type]
    moved, _ = away.change_geometry(images, (images > 0).float(), np.random.default_rng(1))
    assert (moved == value).float().mean() > 0.3


def test_an_emptied_mask_is_kept_where_that_is_asked_for() -> None:
    side = torch.ones(1, 32, 32), torch.zeros(1, 32, 32)
    side[1][:, 1, 1] = 1
    away = {"shift": 250.0, "rotation": 0.0}
    emptied = []
    for keep in (False, True):
        moved = [
            augment(side, side, Augmentation(**away, keep_emptied=keep), np.random.default_rng(i))
            for i in range(20)
        ]
        emptied.append(sum(not mask.any() for sides in moved for _, mask in sides))
    assert emptied[0] == 0
    assert emptied[1] > 10


def test_an_emptied_support_is_told_to_the_network(make_data: MakeData) -> None:
    away = {"shift": 250.0, "rotation": 0.0, "keep_emptied": True}
    dataset = make_data(augmentation=away).episodes()
    episodes = [dataset[i] for i in range(20)]
    assert {e.any_empty_support for e in episodes} == {True, False}
    assert all(e.any_empty_support != bool(e.support_masks.any()) for e in episodes)
