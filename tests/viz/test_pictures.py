"""Pictures hold the pixels that they claim to."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from gmrd.predict.intensity import SOFT_TISSUE, shown_range
from gmrd.viz.pictures import colour_of, side_by_side


def test_columns_and_colours(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((6, 20, 20))
    truth = np.zeros(image.shape, dtype=np.uint8)
    truth[2:5, 4:16, 4:16] = 3
    path = tmp_path / "new" / "case.png"
    side_by_side(path, image, {"truth": truth, "prediction": 0 * truth}, {3: "organ"})
    pixels = matplotlib.image.imread(path)[..., :3]
    width = pixels.shape[1] // 3
    grey = [np.ptp(pixels[:, i * width : (i + 1) * width], axis=-1).max() < 0.01 for i in range(3)]
    assert pixels.shape[0] > pixels.shape[1] / 2
    assert grey[0]
    assert not grey[1]


@pytest.mark.parametrize("n_slices", [1, 3])
def test_few_slices_and_nothing_found(tmp_path: Path, n_slices: int) -> None:
    image = np.zeros((n_slices, 8, 8))
    side_by_side(tmp_path / "a.png", image, {"prediction": image.astype(np.uint8)}, {1: "organ"})
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_neighbouring_labels_differ_in_colour() -> None:
    assert len({colour_of(label) for label in range(1, 9)}) == 8


def test_the_range_of_greys_can_be_given(tmp_path: Path) -> None:
    """Of a CT soft tissue is shown, and not the range from air to metal."""
    image = np.full((2, 16, 16), -1000.0, dtype=np.float32)
    image[:, 4:12, 4:12] = 40.0
    assert shown_range(image) == SOFT_TISSUE
    assert shown_range(image + 1000)[0] == 0
    side_by_side(tmp_path / "ct.png", image, {}, {}, slices=[0], grey=shown_range(image))
    pixels = matplotlib.image.imread(tmp_path / "ct.png")[..., 0]
    centre = pixels[pixels.shape[0] // 2, pixels.shape[1] // 2]
    assert centre == pytest.approx(0.5, abs=0.02)
