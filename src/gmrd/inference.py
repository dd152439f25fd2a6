"""From support slices and a query volume to the query's probability maps and labels.

Evaluation and prediction both use this module. A *chunk* pairs a few support slices with the
query slices that are predicted from them; the protocol determines the chunks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt
from torch import Tensor

from gmrd.errors import InputError
from gmrd.types import Chunk as Chunk
from gmrd.values.kinds import is_device

THRESHOLD = 0.5
"""A voxel above this foreground probability belongs to the class."""


@runtime_checkable
class Segmenter(Protocol):
    """The interface of a network for inference; :class:`gmrd.nn.GMRD` implements it."""

    image_size: int

    def describe(
        self,
        support_images: Float[Tensor, "batch shot h w"],
        support_masks: Float[Tensor, "batch shot h w"],
    ) -> Any:
        """Describe the support's class."""

    def predict(
        self, query_images: Float[Tensor, "n h w"], descriptors: list[Any]
    ) -> list[Float[Tensor, "n h w"]]:
        """Foreground probability of every class on every slice; the slices are encoded once."""


def choose_device(name: str, key: str = "device") -> torch.device:
    """The device of this name; ``auto`` is a GPU if there is one.

    The device is not initialised: training calls this before it starts its processes, each of which
    may only use its own GPU.

    Args:
        name: ``auto``, ``cpu``, ``cuda`` or any torch device.
        key: the setting's key, for the message.

    Raises:
        InputError: the name is not a torch device, or this machine lacks that GPU.
    """
    n_gpus = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name) if is_device(name) else None
    if device is None or (device.type == "cuda" and (device.index or 0) >= n_gpus):
        raise InputError(f"{key}={name}: choose auto, cpu or cuda (GPUs here: {n_gpus})")
    return device


@torch.inference_mode()
def segment(
    network: Segmenter,
    query: Float[Tensor, "z y x"],
    chunks: Mapping[int, Sequence[Chunk]],
    *,
    batch_size: int = 8,
    device: torch.device | str = "cpu",
) -> dict[int, Float[Tensor, "z y x"]]:
    """Foreground probability of every class on the query's own grid, 0 outside the chunks.

    Each support is described once and each query slice is encoded once, for any number of classes.

    Args:
        network: in evaluation mode, on ``device``.
        query: the z-scored query volume.
        chunks: the chunks of each class; a query slice is in at most one chunk of a class.
        batch_size: query slices encoded together.
        device: where the network is; the result is on the CPU.
    """
    size = network.image_size
    described: dict[tuple[int, int], Any] = {}
    for label, of_class in chunks.items():
        for number, chunk in enumerate(of_class):
            images = resize(chunk.support_images, size).to(device)
            masks = resize_masks(chunk.support_masks, size).to(device)
            described[label, number] = network.describe(images[None], masks[None])
    result = {label: torch.zeros(query.shape) for label in chunks}
    for keys, slices in _batches(chunks, batch_size):
        images = resize(query[slices], size).to(device)
        predicted = network.predict(images, [described[key] for key in keys])
        for (label, _), probability in zip(keys, predicted, strict=True):
            result[label][slices] = _to_native(probability, query.shape[1:])
    return result


def label_map(
    probabilities: Mapping[int, Float32[np.ndarray, "z y x"]],
) -> UInt[np.ndarray, "z y x"]:
    """The label value of each voxel's most probable class, 0 where none exceeds 0.5."""
    values = list(probabilities)
    best = np.full(probabilities[values[0]].shape, THRESHOLD, dtype=np.float32)
    labels = np.zeros(best.shape, dtype=np.min_scalar_type(max(values)))
    for value, probability in probabilities.items():
        claimed = probability > best
        labels[claimed] = value
        best = np.where(claimed, probability, best)
    return labels


def resize(slices: Float[Tensor, "n h w"], size: int) -> Float[Tensor, "n size size"]:
    """Resize slices to the network's in-plane size, as in training; most have it already."""
    if slices.shape[-2:] == (size, size):
        return slices
    return F.interpolate(slices[None], size=(size, size), mode="bilinear", align_corners=False)[0]


def resize_masks(masks: Float[Tensor, "n h w"], size: int) -> Float[Tensor, "n size size"]:
    """Resize binary masks to the network's size; not even a mask of one pixel vanishes."""
    kept = resize(masks, size) > 0.5
    lost = ~kept.flatten(1).any(dim=1)[:, None, None]
    return torch.where(lost, F.adaptive_max_pool2d(masks[None], size)[0] > 0, kept).float()


def _to_native(probability: Float[Tensor, "n h w"], shape: Sequence[int]) -> Float[Tensor, "n y x"]:
    """The probability on the query's own grid, in float32 on the CPU."""
    probability = probability.float()
    if probability.shape[-2:] != tuple(shape):
        probability = F.interpolate(
            probability[None], size=tuple(shape), mode="bilinear", align_corners=False
        )[0]
    return probability.cpu()


def _batches(
    chunks: Mapping[int, Sequence[Chunk]], batch_size: int
) -> Iterator[tuple[list[tuple[int, int]], list[int]]]:
    """Slices with the same chunks, ``batch_size`` at a time."""
    wanted: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for label, of_class in chunks.items():
        for number, chunk in enumerate(of_class):
            for z in chunk.query_slices:
                wanted[z].append((label, number))
    groups: dict[tuple[tuple[int, int], ...], list[int]] = defaultdict(list)
    for z in sorted(wanted):
        groups[tuple(wanted[z])].append(z)
    for keys, slices in groups.items():
        for start in range(0, len(slices), batch_size):
            yield list(keys), slices[start : start + batch_size]
