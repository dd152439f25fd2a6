"""From chunks to a probability map, with a network that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gmrd.errors import InputError
from gmrd.inference import Chunk, choose_device, label_map, resize, resize_masks, segment
from gmrd.values.kinds import is_device


class Recorder:
    """Answers the support's mean plus the class's number, and notes what it was asked."""

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size
        self.described = 0
        self.encoded: list[int] = []

    def describe(self, support_images: Tensor, support_masks: Tensor) -> Tensor:
        assert support_images.shape[-2:] == (self.image_size, self.image_size)
        assert set(support_masks.unique().tolist()) <= {0.0, 1.0}
        self.described += 1
        return support_images.mean()

    def predict(self, query_images: Tensor, descriptors: list[Tensor]) -> list[Tensor]:
        self.encoded += query_images.mean(dim=(1, 2)).round().int().tolist()
        return [torch.zeros_like(query_images) + value for value in descriptors]


def chunk(value: float, slices: tuple[int, ...], size: int = 8) -> Chunk:
    images = torch.full((1, size, size), value)
    return Chunk(support_images=images, support_masks=torch.ones_like(images), query_slices=slices)


def query(n_slices: int, size: int = 8) -> Tensor:
    return torch.arange(n_slices).float()[:, None, None].expand(n_slices, size, size).clone()


@pytest.mark.parametrize("image_size", [4, 8, 16])
def test_every_slice_gets_its_chunk_and_its_own_grid(image_size: int) -> None:
    network = Recorder(image_size)
    chunks = {1: [chunk(0.25, (1, 2)), chunk(0.5, (4,))], 3: [chunk(0.75, (2, 4))]}
    found = segment(network, query(6), chunks, batch_size=2)
    assert set(found) == {1, 3}
    assert found[1][:, 0, 0].tolist() == [0, 0.25, 0.25, 0, 0.5, 0]
    assert found[3][:, 5, 5].tolist() == [0, 0, 0.75, 0, 0.75, 0]
    assert found[1].shape == (6, 8, 8)


@settings(max_examples=40)
@given(
    parts=st.lists(st.integers(0, 2), min_size=1, max_size=12),
    others=st.lists(st.integers(0, 2), min_size=1, max_size=12),
    batch_size=st.integers(1, 5),
)
def test_supports_are_described_once_and_slices_encoded_once(
    parts: list[int], others: list[int], batch_size: int
) -> None:
    network = Recorder(8)
    n_slices = max(len(parts), len(others))
    chunks = {
        label: [
            chunk(label + part / 10, tuple(z for z, p in enumerate(of_class) if p == part))
            for part in range(3)
        ]
        for label, of_class in ((1, parts), (2, others))
    }
    found = segment(network, query(n_slices), chunks, batch_size=batch_size)
    assert network.described == 6
    assert sorted(network.encoded) == list(range(n_slices))
    for label, of_class in ((1, parts), (2, others)):
        expected = torch.tensor([label + part / 10 for part in of_class])
        torch.testing.assert_close(found[label][: len(of_class), 0, 0], expected)


def test_resizing_keeps_what_is_constant_and_what_fits() -> None:
    slices = torch.full((2, 9, 9), 3.5)
    torch.testing.assert_close(resize(slices, 6), torch.full((2, 6, 6), 3.5))
    assert resize(slices, 9) is slices


def test_a_mask_of_one_pixel_survives_shrinking() -> None:
    masks = torch.zeros(2, 16, 16)
    masks[0, 3, 5] = 1
    shrunk = resize_masks(masks, 4)
    assert shrunk[0].sum() == 1
    assert shrunk[0, 0, 1] == 1
    assert shrunk[1].sum() == 0


@pytest.mark.parametrize("name", ["quantum", "cuda:99", "cuda:-1", "cuda:01", "cpu:300", ""])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(
        InputError, match=rf"^device={name}: choose auto, cpu or cuda \(GPUs here: \d+\)$"
    ):
        choose_device(name)


@pytest.mark.parametrize("name", ["cpu", "cpu:0", "cuda:10", "mps", "xpu:1", "hpu", "xla:99"])
def test_every_device_of_a_setting_is_one_of_torch(name: str) -> None:
    assert is_device(name)
    assert str(torch.device(name)) == name


def test_auto_is_a_device_that_is_there() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_choosing_a_gpu_does_not_touch_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process of a training asks, and each shall open its own GPU alone."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    before = torch.cuda.is_initialized()
    assert choose_device("cuda:3") == torch.device("cuda:3")
    assert torch.cuda.is_initialized() is before


def test_the_most_probable_class_has_the_voxel() -> None:
    one = np.array([[[0.9, 0.6, 0.2]]], dtype=np.float32)
    five = np.array([[[0.8, 0.7, 0.4]]], dtype=np.float32)
    assert label_map({1: one, 5: five}).tolist() == [[[1, 5, 0]]]
