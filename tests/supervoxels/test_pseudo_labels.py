"""Foreground and masking."""

from __future__ import annotations

import numpy as np
import pytest

from gmrd.supervoxels import felzenszwalb, foreground_mask, pseudo_labels, rescale


def drawing(*rows: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in rows])


@pytest.mark.parametrize(
    ("bright", "body"),
    [
        pytest.param(("####", "#..#", "####"), ("####", "####", "####"), id="a hole is filled"),
        pytest.param(("##..", "##..", "...#"), ("##..", "##..", "...."), id="a crumb is dropped"),
        pytest.param(("#...", ".#..", "..#."), ("#...", ".#..", "..#."), id="corners connect"),
        pytest.param((".#..", "#.#.", ".#.."), (".#..", "###.", ".#.."), id="corners close"),
        pytest.param(("....", "....", "...."), ("....", "....", "...."), id="nothing"),
    ],
)
def test_foreground_of_a_slice(bright: tuple[str, ...], body: tuple[str, ...]) -> None:
    image = np.stack([drawing(*bright) * 10.001, np.full((3, 4), 10.0)])
    mask = foreground_mask(image)
    np.testing.assert_array_equal(mask[0], drawing(*body))
    assert not mask[1].any(), "a voxel of exactly 10 is background"


def test_rescaling() -> None:
    grey = rescale(np.arange(-7, 53, dtype=np.int16).reshape(3, 4, 5))
    assert grey.dtype == np.float64
    np.testing.assert_array_equal(grey.ravel(), 255.0 * np.arange(60.0) / 59.0)


def test_label_zero_is_kept_under_a_new_number() -> None:
    image = np.random.default_rng(3).random((4, 16, 16)) + 1.0
    image[:, :, :5] = 0.0
    grey = rescale(image)
    segments = felzenszwalb(grey, spacing=(2, 1, 1), min_size=40)
    n_segments = segments.max() + 1
    labels = pseudo_labels(image, spacing=(2, 1, 1), min_size=40)
    body = foreground_mask(grey)
    assert (labels[~body] == 0).all()
    assert (labels[body] > 0).all()
    expected = np.where(segments == 0, n_segments, segments)
    np.testing.assert_array_equal(labels[body], expected[body])
