"""Input that cannot be used is refused with a sentence that names the value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gmrd import _core
from gmrd.errors import InputError
from gmrd.supervoxels import felzenszwalb, pseudo_labels

IMAGE = np.random.default_rng(0).random((4, 6, 5))


def spoilt(value: float) -> np.ndarray:
    image = IMAGE.copy()
    image[1, 2, 3] = value
    return image


@pytest.mark.parametrize("segment", [felzenszwalb, pseudo_labels])
@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (spoilt(np.nan), "1 voxels that are NaN"),
        (spoilt(np.inf), "NaN or infinite"),
        (spoilt(-np.inf), "NaN or infinite"),
        (np.full((3, 4, 5), 7), "constant: every voxel is 7"),
        (IMAGE[:1], "single slice"),
        (np.zeros((0, 4, 4)), "empty"),
        (np.zeros((2, 0, 4)), "empty"),
        (IMAGE[0], r"2 dimensions \(6, 5\)"),
        (IMAGE[None], "4 dimensions"),
        (np.float64(3), "0 dimensions"),
        (IMAGE * 1j, "complex"),
        (IMAGE.astype(str), "<U"),
        (IMAGE.astype(object), "object"),
        (np.broadcast_to(np.float32(0), (2048, 1024, 1024)), "more than the 2147483646"),
        (spoilt(1e200), "rescale it"),
        (IMAGE * 1e-200, "rescale it"),
    ],
)
def test_images(segment: Any, image: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        segment(image, spacing=(1, 1, 1), min_size=2)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"min_size": 0}, "min_size=0 must be"),
        ({"min_size": -3}, "min_size=-3 must be"),
        ({"min_size": 121}, "from 1 to the volume's 120"),
        ({"min_size": 2.5}, "min_size=2.5"),
        ({"spacing": (-1, 1, 1)}, r"spacing \(-1.0, 1.0, 1.0\)"),
        ({"spacing": (1, 0, 1)}, "three positive lengths"),
        ({"spacing": (1, 1)}, "three positive lengths"),
        ({"spacing": (np.nan, 1, 1)}, "three positive lengths"),
        ({"spacing": (1e9, 1, 1)}, "times as far apart"),
        ({"scale": -1.0}, "scale=-1.0"),
        ({"scale": np.inf}, "scale=inf"),
        ({"sigma": -0.5}, "sigma=-0.5"),
        ({"sigma": 1e6}, r"sigma=1e\+06 pixels is wider than the volume"),
        ({"sigma": 1.0, "spacing": (0.01, 1, 1)}, "sigma=1 pixels is wider"),
        ({"n_threads": 0}, "n_threads=0"),
    ],
)
def test_parameters(parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        felzenszwalb(IMAGE, **({"min_size": 2} | parameters))


def test_pixels_that_are_not_square_are_said_to_be_taken_as_such() -> None:
    with pytest.warns(UserWarning, match="taken as 1.5 × 1.5 mm squares"):
        labels = felzenszwalb(IMAGE, spacing=(3, 1, 1.5), min_size=5)
    np.testing.assert_array_equal(labels, felzenszwalb(IMAGE, spacing=(2, 1, 1), min_size=5))


@pytest.mark.parametrize(
    ("image", "changes", "error"),
    [
        (IMAGE[0], {}, ValueError),
        (np.zeros((0, 1, 1)), {}, ValueError),
        (np.asfortranarray(IMAGE), {}, ValueError),
        (spoilt(np.nan), {}, ValueError),
        (IMAGE.astype(np.int32), {}, TypeError),
        (IMAGE, {"z_over_x": 0.0}, ValueError),
        (IMAGE, {"scale": np.nan}, ValueError),
        (IMAGE, {"n_threads": 0}, ValueError),
        (IMAGE, {"batch_size": -1}, TypeError),
    ],
)
def test_the_core_defends_itself(image: Any, changes: dict[str, Any], error: type) -> None:
    with pytest.raises(error):
        _core.felzenszwalb3d(image, **({"z_over_x": 1.0, "scale": 1.0, "min_size": 2} | changes))
