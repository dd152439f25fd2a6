"""Scans are laid by the angle between them, not by the patient's axes."""

from __future__ import annotations

import numpy as np
import pytest

from gmrd.io.scan import Scan
from gmrd.predict.frame import Frame
from helpers.scans import affine, ball, reoriented


def rotated(degrees: float) -> np.ndarray:
    """An affine turned about the patient's long axis."""
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ affine()


@pytest.mark.parametrize("degrees", [(43.5, 46.5), (-46.0, -44.0), (0.0, 3.0)])
def test_three_degrees_permute_nothing(degrees: tuple[float, float]) -> None:
    image, _ = ball(1)
    support, query = (Scan("a", image, rotated(angle)) for angle in degrees)
    frame = Frame.of(support)
    laid, other = frame.resample(support)[0].ranks, frame.resample(query)[0].ranks
    np.testing.assert_allclose(laid, other, atol=0.02)


@pytest.mark.parametrize("orientation", ["RPI", "SAL", "RAS"])
def test_a_mirrored_or_permuted_file_is_laid_back(orientation: str) -> None:
    image, _ = ball(1)
    support = Scan("a", image, affine())
    query = reoriented(support, orientation)
    frame = Frame.of(support)
    laid, grid = frame.resample(query)
    np.testing.assert_allclose(laid.ranks, frame.resample(support)[0].ranks, atol=1e-6)
    assert grid.scan(laid.ranks).shape == query.image.shape


def test_the_support_sets_the_pixel() -> None:
    image, _ = ball(1, shape=(6, 128, 128))
    frame = Frame.of(Scan("a", image, affine((8.0, 2.5, 2.5))))
    assert frame.pixel == pytest.approx(1.25)
    coarse = Scan("b", image[:, ::2, ::2], affine((8.0, 5.0, 5.0)))
    laid, _ = frame.resample(coarse)
    assert laid.spacing == pytest.approx((8.0, 1.25, 1.25))
    assert laid.ranks.shape == (6, 256, 256)


@pytest.mark.parametrize(
    ("n_slices", "thickness", "n_laid"), [(160, 4.0, 40), (80, 2.0, 40), (40, 1.0, 40)]
)
def test_thin_slices_are_averaged_while_there_are_many(
    n_slices: int, thickness: float, n_laid: int
) -> None:
    image, _ = ball(1, shape=(n_slices, 32, 32))
    scan = Scan("a", image, affine((1.0, 2.0, 2.0)))
    laid, grid = Frame.of(scan).resample(scan)
    assert laid.spacing[0] == pytest.approx(thickness)
    assert len(laid.ranks) == n_laid
    assert grid.scan(laid.ranks).shape == image.shape
