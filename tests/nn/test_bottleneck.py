"""A lean stage is a sequence of torchvision's bottleneck blocks."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from gmrd.nn.bottleneck import SEGMENT, LeanStage

N_BLOCKS = SEGMENT + 2  # a whole segment and a part of one


def pair(dilation: int, n_blocks: int = N_BLOCKS) -> tuple[LeanStage, nn.Sequential]:
    """The same stage twice; its first block widens 16 channels to 32."""
    torch.manual_seed(0)
    widen = nn.Sequential(nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32))
    blocks = [Bottleneck(16, 8, dilation=dilation, downsample=widen)]
    blocks += [Bottleneck(32, 8, dilation=dilation) for _ in range(n_blocks - 1)]
    return LeanStage(*copy.deepcopy(blocks)), nn.Sequential(*blocks)


def train(stage: nn.Module, x: Tensor) -> list[Tensor]:
    """Output, gradients and running statistics of a training step."""
    inputs = x.clone().requires_grad_()
    y = stage(inputs)
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    grads = [p.grad for p in (inputs, *stage.parameters()) if p.grad is not None]
    return [y, *grads, *stage.buffers()]


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_equals_torchvision(dilation: int) -> None:
    lean, plain = pair(dilation)
    x = torch.randn(2, 16, 9, 9, dtype=torch.float64)
    for ours, theirs in zip(train(lean.double(), x), train(plain.double(), x), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_equals_torchvision_under_autocast() -> None:
    lean, plain = pair(2)
    x = torch.randn(2, 16, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = train(lean, x), train(plain, x)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        error, size = (a - b).double().norm(), b.double().norm()
        assert error <= 0.02 * size  # bfloat16 carries 8 bits


def test_leaves_evaluation_to_torchvision() -> None:
    lean, plain = pair(1)
    x = torch.randn(1, 16, 8, 8)
    torch.testing.assert_close(lean.eval()(x), plain.eval()(x), rtol=0, atol=0)


def freeze(norm: nn.BatchNorm2d) -> None:
    norm.eval()


def accumulate(norm: nn.BatchNorm2d) -> None:
    norm.momentum = None  # the running statistics become the mean over all batches


@pytest.mark.parametrize("change", [freeze, accumulate])
@pytest.mark.parametrize("name", ["0.bn1", "3.bn3", "all"])
def test_any_other_normalisation_is_left_to_torchvision(
    change: Callable[[nn.BatchNorm2d], None], name: str
) -> None:
    stages = pair(1)
    for stage in stages:
        chosen = stage.modules() if name == "all" else [stage.get_submodule(name)]
        for norm in chosen:
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean.normal_(generator=torch.Generator().manual_seed(0))
                change(norm)
    lean, plain = stages
    x = torch.randn(2, 16, 9, 9, dtype=torch.float64)
    for ours, theirs in zip(train(lean.double(), x), train(plain.double(), x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_another_normalisation_module_is_used() -> None:
    lean, plain = (stage.double() for stage in pair(1))
    for stage in (lean, plain):
        torch.manual_seed(1)
        stage[1].bn2 = nn.GroupNorm(4, 8).double()
    x = torch.randn(2, 16, 9, 9, dtype=torch.float64)
    for ours, theirs in zip(train(lean, x), train(plain, x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("autocast", [False, True])
def test_keeps_less_for_the_backward_pass(autocast: bool) -> None:
    kept = []
    for stage in pair(2, n_blocks=2 * SEGMENT):
        sizes: dict[int, int] = {}

        def pack(t: Tensor, sizes: dict[int, int] = sizes) -> Tensor:
            sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with (
            torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
            torch.autocast("cpu", torch.bfloat16, enabled=autocast),
        ):
            stage(torch.randn(2, 16, 32, 32, requires_grad=True))
        kept.append(sum(sizes.values()))
    assert kept[0] < 0.4 * kept[1]
