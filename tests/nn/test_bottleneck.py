"""The lean bottleneck is torchvision's bottleneck."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torchvision.models.resnet import Bottleneck

from gmrd.nn.bottleneck import LeanBottleneck


def pair(dilation: int, *, widens: bool) -> tuple[LeanBottleneck, Bottleneck]:
    torch.manual_seed(0)
    n_in = 16 if widens else 32
    shortcut = nn.Sequential(nn.Conv2d(n_in, 32, 1, bias=False), nn.BatchNorm2d(32))
    lean = LeanBottleneck(n_in, 8, dilation=dilation, downsample=shortcut if widens else None)
    plain = Bottleneck(n_in, 8, dilation=dilation, downsample=copy.deepcopy(lean.downsample))
    plain.load_state_dict(lean.state_dict())
    return lean.double(), plain.double()


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("widens", [False, True])
def test_equals_torchvision(dilation: int, widens: bool) -> None:
    lean, plain = pair(dilation, widens=widens)
    x = torch.randn(2, 16 if widens else 32, 9, 9, dtype=torch.float64)
    results = []
    for block in (lean, plain):
        inputs = x.clone().requires_grad_()
        y = block(inputs)
        (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
        results.append((y, inputs.grad, *(p.grad for p in block.parameters()), *block.buffers()))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_keeps_less_for_the_backward_pass() -> None:
    kept = []
    for block in pair(2, widens=False):
        sizes: dict[int, int] = {}

        def pack(t: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
            sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        x = torch.randn(2, 32, 16, 16, dtype=torch.float64, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            block(x)
        kept.append(sum(sizes.values()))
    assert kept[0] < 0.75 * kept[1]
