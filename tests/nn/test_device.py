"""A training step's forward pass on a GPU that is not there: devices without data.

A fake tensor knows its device and refuses to tell a value, so a tensor left on the CPU and a
value that the host waits for are errors here, on any machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from gmrd.losses import GMRDLoss
from gmrd.nn import build_network, pooling
from gmrd.types import Episode


@pytest.fixture(autouse=True)
def no_fake_matrix_stays() -> Iterator[None]:
    """The network keeps its interpolation matrices; fake ones must not outlive a test."""
    pooling._interpolation_matrix.cache_clear()
    yield
    pooling._interpolation_matrix.cache_clear()


def move(module: nn.Module) -> None:
    """Put fake CUDA tensors in the place of a module's weights and buffers."""
    for part in module.modules():
        stores: list[dict[str, Any]] = [part._parameters, part._buffers]
        for store in stores:
            for name, value in store.items():
                if value is not None:
                    store[name] = like(value)


def like(value: Tensor) -> Tensor:
    fake = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="cuda")
    return nn.Parameter(fake, value.requires_grad) if isinstance(value, nn.Parameter) else fake


@pytest.mark.skipif(
    torch.__version__.startswith("2.6.") and not torch.cuda.is_available(),
    reason="torch 2.6 asks the driver for a fake tensor's device, too",
)
@pytest.mark.parametrize("fill", ["random", "cyclic", "mean"])
@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_a_step_stays_on_the_device(backbone: str, fill: str) -> None:
    network = build_network(
        backbone=backbone, n_features=8, n_foreground=3, n_background=5, image_size=32, fill=fill
    ).train()
    loss = GMRDLoss()
    with FakeTensorMode():
        move(network)
        move(loss)
        images, masks = (torch.empty(2, 2, 32, 32, device="cuda") for _ in range(2))
        episode = Episode(images[:, :1], masks[:, :1], images[:, 1:], masks[:, 1:].long())
        output = network(episode)
        losses = loss(output, episode)
        assert {value.device.type for value in losses.values()} == {"cuda"}
        assert output.probabilities.device.type == "cuda"
        with pytest.raises(DataDependentOutputException):
            losses["total"].item()  # this would wait: the check above can fail
