from __future__ import annotations

import itertools

import numpy as np
import pytest

from gmrd.io.scan import Scan
from gmrd.predict.geometry import Axis, Grid, TrainingGeometry, is_sizeless
from helpers.scans import affine, ball, reoriented

ORIENTATIONS = ["RAS", "LPS", "SPL", "AIR", "PSL"]


def scan_of(orientation: str, spacing: tuple[float, float, float], seed: int = 1) -> Scan:
    """A ball scan whose array runs along other axes; the patient stays where it is."""
    image, _ = ball(seed)
    return reoriented(Scan("ball", image, affine(spacing)), orientation)


def test_a_scan_of_the_trainings_geometry_is_left_as_it_is() -> None:
    scan = scan_of("LAS", (5.0, 2.0, 2.0))
    grid = Grid.between(scan, TrainingGeometry.of(scan))
    np.testing.assert_allclose(grid.slices(scan.image), scan.image, atol=1e-4)
    np.testing.assert_array_equal(grid.scan(grid.slices(scan.image) * 0 + 1), 1)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_slices_do_not_depend_on_how_the_array_runs(orientation: str) -> None:
    scan = scan_of("LAS", (5.0, 2.0, 2.0))
    training = TrainingGeometry("LAS", (6.0, 2.5, 2.5), (32, 32))
    expected = Grid.between(scan, training).slices(scan.image)
    turned = reoriented(scan, orientation)
    np.testing.assert_allclose(
        Grid.between(turned, training).slices(turned.image), expected, atol=1e-3
    )


@pytest.mark.parametrize(
    ("orientation", "spacing"),
    [*itertools.product(["RAS", "SPL"], [(5.0, 2.0, 2.0), (1.5, 0.9, 0.9), (9.0, 3.1, 3.1)])],
)
def test_a_mask_survives_the_way_there_and_back(
    orientation: str, spacing: tuple[float, float, float]
) -> None:
    _, label = ball(1)
    scan = reoriented(Scan("ball", label.astype(np.float32), affine(spacing)), orientation)
    fine = TrainingGeometry("LAS", (4.0, 1.0, 1.0), (160, 160))
    grid = Grid.between(scan, fine)
    back = grid.scan(grid.slices(scan.image)) > 0.5
    assert back.shape == scan.image.shape
    overlap = 2 * (back & (scan.image > 0)).sum() / (back.sum() + scan.image.sum())
    # Thin slices are averaged to the training's thickness, which rounds the ends off.
    assert overlap > (0.97 if spacing[0] > 2 else 0.9)


def test_a_grid_smaller_than_the_scan_says_what_it_misses() -> None:
    scan = scan_of("LAS", (5.0, 2.0, 2.0))
    body = np.ones_like(scan.image)
    whole = Grid.between(scan, TrainingGeometry("LAS", (5.0, 2.0, 2.0), (40, 44)))
    half = Grid.between(scan, TrainingGeometry("LAS", (5.0, 2.0, 2.0), (20, 44)))
    assert whole.share_covered(body) == pytest.approx(1.0)
    assert half.share_covered(body) == pytest.approx(0.5)


@pytest.mark.parametrize(("n_from", "n_to"), [(40, 32), (32, 40), (41, 32), (32, 41), (7, 7)])
def test_equal_steps_crop_and_pad_by_whole_samples(n_from: int, n_to: int) -> None:
    there = Axis(n_from, 2.0, n_to, 2.0)
    matrix, back = there.resampling(), there.reversed().resampling()
    assert set(np.unique(matrix)) <= {0.0, 1.0}
    assert matrix.sum() == min(n_from, n_to)
    np.testing.assert_array_equal(back, matrix.T)


def test_interpolation_reproduces_a_line() -> None:
    matrix = Axis(20, 1.0, 11, 1.7).resampling()
    centred = np.arange(20) - 9.5
    inside = matrix.sum(axis=1) > 0.999
    expected = (np.arange(11) - 5) * 1.7
    keep = inside & (np.abs(expected) < 7)
    # A triangle as wide as the step is sampled, so it is a little lopsided off the samples.
    np.testing.assert_allclose((matrix @ centred)[keep], expected[keep], atol=0.1)


@pytest.mark.parametrize(
    ("shape", "spacing", "sizeless"),
    [
        ((36, 256, 256), (1.0, 1.0, 1.0), True),
        ((256, 36, 256), (1.0, 1.0, 1.0), True),
        ((36, 256, 256), (1.0, 0.9, 0.9), False),
        ((35, 51, 35), (1.0, 1.0, 1.0), False),
        ((160, 240, 240), (1.0, 1.0, 1.0), False),
    ],
)
def test_few_slices_of_cubes_have_probably_lost_their_size(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], sizeless: bool
) -> None:
    assert is_sizeless(Scan("a", np.zeros(shape, np.float32), affine(spacing))) is sizeless
