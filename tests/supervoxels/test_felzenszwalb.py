"""The batches, filters and shortcuts of the core change nothing: random volumes, many ties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gmrd import _core
from gmrd.supervoxels import felzenszwalb

Segment = Callable[..., NDArray[np.int32]]


GREYS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], NDArray[Any]]] = {
    "two values": lambda rng, shape: rng.integers(0, 2, shape) * 255.0,
    "few values": lambda rng, shape: rng.integers(0, 6, shape) * 1.0,
    "rescaled integers": lambda rng, shape: 255.0 * rng.integers(0, 40, shape) / 39,
    "real": lambda rng, shape: rng.random(shape) * 255,
    "single precision": lambda rng, shape: rng.random(shape, dtype=np.float32) * 2,
    "tiny differences": lambda rng, shape: 1e6 + rng.integers(0, 3, shape) * 2.0**-30,
    "far outlier": lambda rng, shape: rng.integers(0, 9, shape) + 1e9 * (rng.random(shape) < 0.02),
    "smooth": lambda rng, shape: np.cumsum(rng.random(shape), axis=2),
}


@pytest.fixture(scope="module", params=GREYS)
def greys(request: pytest.FixtureRequest) -> Callable[..., NDArray[Any]]:
    return GREYS[request.param]


@settings(max_examples=40)
@given(data=st.data())
def test_equals_the_slow_reference(
    reference: Segment, greys: Callable[..., NDArray[Any]], data: st.DataObject
) -> None:
    shape = data.draw(st.tuples(st.integers(2, 4), st.integers(1, 6), st.integers(1, 10)))
    image = greys(np.random.default_rng(data.draw(st.integers(0, 2**32))), shape)
    spacing = (data.draw(st.sampled_from([0.3, 0.5, 1.0, 1.25, 6.16, 40.0])), 1.0, 1.0)
    scale = data.draw(st.sampled_from([0.0, 1e-50, 1.0, 300.0, 5e4, 1e7]))
    min_size = data.draw(st.integers(1, image.size))
    labels = _core.felzenszwalb3d(
        np.ascontiguousarray(image),
        z_over_x=spacing[0],
        scale=scale / 255,
        min_size=min_size,
        n_threads=data.draw(st.integers(1, 3)),
        batch_size=data.draw(st.sampled_from([0, 7, 40, 300])),
    )
    expected = reference(image, spacing=spacing, scale=scale, min_size=min_size)
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize(
    "arranged",
    [
        pytest.param(np.asfortranarray, id="fortran order"),
        pytest.param(lambda a: np.repeat(a, 2, axis=2)[:, :, ::2], id="strided"),
        pytest.param(lambda a: a[::-1].copy()[::-1], id="negative stride"),
        pytest.param(lambda a: a.astype(">f8"), id="other byte order"),
        pytest.param(lambda a: a.astype(np.float16), id="half precision"),
        pytest.param(lambda a: a.astype(np.int64), id="integers"),
        pytest.param(lambda a: a.tolist(), id="lists"),
    ],
)
def test_any_arrangement_gives_the_same(arranged: Callable[[NDArray[Any]], Any]) -> None:
    image = np.random.default_rng(0).integers(0, 50, (4, 9, 10)).astype(np.float64)
    expected = felzenszwalb(image, min_size=20)
    np.testing.assert_array_equal(felzenszwalb(arranged(image), min_size=20), expected)


def test_booleans_are_two_values() -> None:
    image = np.random.default_rng(0).random((4, 9, 10)) < 0.5
    expected = felzenszwalb(image.astype(np.float64), min_size=20)
    np.testing.assert_array_equal(felzenszwalb(image, min_size=20), expected)


def test_the_input_is_left_alone() -> None:
    image = np.random.default_rng(0).random((3, 8, 8))
    image.setflags(write=False)
    felzenszwalb(image, sigma=1.0, min_size=10)


def test_labels_are_numbered_by_first_voxel_and_large_enough() -> None:
    image = np.random.default_rng(1).random((6, 20, 20)) * 255
    labels = felzenszwalb(image, spacing=(3, 1, 1), min_size=60)
    values, first = np.unique(labels, return_index=True)
    assert values.tolist() == list(range(values.size))
    assert (np.diff(first) > 0).all()
    assert np.bincount(labels.ravel()).min() >= 60


def test_smoothing_is_as_wide_in_millimetres_between_slices() -> None:
    from scipy import ndimage

    image = np.random.default_rng(2).random((6, 12, 12)) * 255
    smooth = ndimage.gaussian_filter(image, sigma=(2 / 4, 2, 2))
    expected = felzenszwalb(smooth, spacing=(4, 1, 1), min_size=30)
    labels = felzenszwalb(image, spacing=(4, 1, 1), sigma=2, min_size=30)
    np.testing.assert_array_equal(labels, expected)
