"""Stages of bottleneck blocks that store only a fraction of the usual maps for the backward pass.

The usual implementation of a residual block stores its input, two maps per normalisation and the
widest map, the third convolution's output. Here only the outputs of a block's first two
convolutions are stored and, for a run of blocks (a segment), the first one's input: normalised
maps are cheap to recompute, and so is the third, 1 x 1 convolution, which gives the inputs of the
other blocks. The results equal those of the usual blocks; only memory differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

_ATEN = torch.ops.aten
_T = TypeVar("_T")

SEGMENT = 3
"""Blocks per segment: ResNet-101's layer3 has 23 blocks, so it stores 8 inputs, and its backward
pass holds the wide maps of 3 blocks at a time."""


class _Norm(NamedTuple):
    """A batch normalisation's batch statistics and affine parameters."""

    mean: Tensor
    inverse_std: Tensor
    weight: Tensor
    bias: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """The normalised map, recomputed in float32 or better and rounded to x's precision."""
        scale = self.inverse_std * self.weight
        shift = self.bias - self.mean * scale
        return torch.addcmul(shift[:, None, None], x, scale[:, None, None]).to(x.dtype)

    def backward(self, grad: Tensor, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of input, weight and bias."""
        grads: tuple[Tensor, Tensor, Tensor] = _ATEN.native_batch_norm_backward(
            grad, x, self.weight, None, None, self.mean, self.inverse_std, True, eps, [True] * 3
        )
        return grads


def _conv(x: Tensor, weight: Tensor, dilation: int = 1) -> Tensor:
    padding = dilation * (weight.shape[2] // 2)
    return torch.conv2d(x, weight, padding=padding, dilation=dilation)


def _conv_backward(
    grad: Tensor, x: Tensor, weight: Tensor, dilation: int = 1
) -> tuple[Tensor, Tensor]:
    """Gradients of input and weight, the latter in the precision of the weight."""
    padding = dilation * (weight.shape[2] // 2)
    gx, gw, _ = _ATEN.convolution_backward(
        grad, x, weight.to(x.dtype), None, [1, 1], [padding] * 2, [dilation] * 2, False, [0, 0], 1,
        [True, True, False],
    )  # fmt: skip
    return gx, gw.to(weight.dtype)


class _Kept(NamedTuple):
    """What is stored of y = relu(shortcut + n3(conv3(relu(n2(conv2(relu(n1(conv1(x)))))))))."""

    c1: Tensor
    c2: Tensor
    m1: Tensor
    i1: Tensor
    m2: Tensor
    i2: Tensor
    m3: Tensor
    i3: Tensor
    w1: Tensor
    g1: Tensor
    b1: Tensor
    w2: Tensor
    g2: Tensor
    b2: Tensor
    w3: Tensor
    g3: Tensor
    b3: Tensor

    def norms(self) -> tuple[_Norm, _Norm, _Norm]:
        """The three normalisations."""
        return (
            _Norm(self.m1, self.i1, self.g1, self.b1),
            _Norm(self.m2, self.i2, self.g2, self.b2),
            _Norm(self.m3, self.i3, self.g3, self.b3),
        )

    def again(self, shortcut: Tensor) -> tuple[Tensor, Tensor]:
        """The third convolution's output and the block's, from what is stored."""
        _, n2, n3 = self.norms()
        c3 = _conv(n2.apply(self.c2).relu_(), self.w3.to(self.c2.dtype))
        return c3, n3.apply(c3).add_(shortcut).relu_()

    def backward(
        self, grad: Tensor, x: Tensor, c3: Tensor, y: Tensor, dilation: int, eps: float
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Gradients of the input (without the shortcut), the shortcut and the nine parameters."""
        n1, n2, n3 = self.norms()
        gy = _ATEN.threshold_backward(grad, y, 0)
        gc3, gg3, gb3 = n3.backward(gy, c3, eps)
        r2 = n2.apply(self.c2).relu_()
        gr2, gw3 = _conv_backward(gc3, r2, self.w3)
        del gc3
        gc2, gg2, gb2 = n2.backward(_ATEN.threshold_backward(gr2, r2, 0), self.c2, eps)
        del r2, gr2
        r1 = n1.apply(self.c1).relu_()
        gr1, gw2 = _conv_backward(gc2, r1, self.w2, dilation)
        gc1, gg1, gb1 = n1.backward(_ATEN.threshold_backward(gr1, r1, 0), self.c1, eps)
        gx, gw1 = _conv_backward(gc1, x.to(gc1.dtype), self.w1)
        return gx, gy, [gw1, gg1, gb1, gw2, gg2, gb2, gw3, gg3, gb3]


class _Segment(torch.autograd.Function):
    """A run of blocks; the first one's shortcut is a separate argument."""

    @staticmethod
    def forward(
        ctx: Any, blocks: Sequence[Bottleneck], x: Tensor, shortcut: Tensor, *parameters: Tensor
    ) -> Tensor:
        ctx.dilations, ctx.eps = [b.conv2.dilation[0] for b in blocks], blocks[0].bn1.eps
        kept, y = [], x
        for i, (block, ours) in enumerate(zip(blocks, _chunks(parameters, 9), strict=True)):
            maps, y = _block_forward(block, y, shortcut if i == 0 else y, ours)
            kept += [*maps, *ours]
        ctx.save_for_backward(x, shortcut, *kept)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, shortcut, *saved = ctx.saved_tensors
        kept = [_Kept(*tensors) for tensors in _chunks(saved, len(_Kept._fields))]
        inputs, wide = [x], []
        for i, block in enumerate(kept):
            c3, y = block.again(shortcut if i == 0 else inputs[-1])
            wide.append(c3)
            inputs.append(y)
        grad, parameters = grads[0], list[Tensor]()
        while kept:
            block, y = kept.pop(), inputs.pop()
            gx, gy, ours = block.backward(
                grad, inputs[-1], wide.pop(), y, ctx.dilations[len(kept)], ctx.eps
            )
            parameters = ours + parameters
            grad = gx.add_(gy) if kept else gx
        return None, grad, gy, *parameters


def _block_forward(
    block: Bottleneck, x: Tensor, shortcut: Tensor, parameters: Sequence[Tensor]
) -> tuple[list[Tensor], Tensor]:
    """The maps and statistics to store, and the block's output."""
    w1, g1, b1, w2, g2, b2, w3, g3, b3 = parameters
    c1 = _conv(x, w1)
    r1, *s1 = _normalise(block.bn1, c1, g1, b1)
    c2 = _conv(r1.relu_(), w2, block.conv2.dilation[0])
    del r1
    r2, *s2 = _normalise(block.bn2, c2, g2, b2)
    c3 = _conv(r2.relu_(), w3)
    del r2
    y, *s3 = _normalise(block.bn3, c3, g3, b3)
    return [c1, c2, *s1, *s2, *s3], y.add_(shortcut).relu_()


def _normalise(
    norm: nn.BatchNorm2d, x: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise by the batch and update the running statistics, like the module itself."""
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.num_batches_tracked.add_(1)
    result: tuple[Tensor, Tensor, Tensor] = torch.native_batch_norm(
        x, weight, bias, norm.running_mean, norm.running_var, True, norm.momentum, norm.eps
    )
    return result


class LeanStage(nn.Sequential):
    """A stage of torchvision's bottleneck blocks, with the lean backward pass in training.

    It is a plain sequence if it is compiled (the compiler chooses what to store), if no gradient is
    needed, and if a block is not as :func:`_is_lean` requires: a frozen normalisation, for example,
    uses its running statistics.
    """

    def forward(self, x: Float[Tensor, "n d h w"]) -> Float[Tensor, "n out ho wo"]:
        """The same as applying torchvision's blocks in sequence."""
        blocks = list(self)
        plain = torch.compiler.is_compiling() or not torch.is_grad_enabled()
        if plain or not all(_is_lean(block) for block in blocks):
            y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return y
        for segment in _chunks(blocks, SEGMENT):
            x = _run(segment, x)
        return x


def _is_lean(block: nn.Module) -> bool:
    """Whether a block computes the same as the lean pass: y = relu(shortcut + n3(conv3(...))).

    Every normalisation must use the batch's statistics and average them with a fixed momentum,
    unlike a frozen one or another kind such as SyncBatchNorm.
    """
    if type(block) is not Bottleneck or block.conv2.stride != (1, 1) or block.conv2.groups != 1:
        return False
    return all(
        type(norm) is nn.BatchNorm2d
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        for norm in (block.bn1, block.bn2, block.bn3)
    )


def _run(segment: Sequence[Bottleneck], x: Tensor) -> Tensor:
    layers = (
        layer
        for block in segment
        for layer in ((block.conv1, block.bn1), (block.conv2, block.bn2), (block.conv3, block.bn3))
    )
    parameters = [p for conv, norm in layers for p in (conv.weight, norm.weight, norm.bias)]
    first = segment[0]
    shortcut = x if first.downsample is None else first.downsample(x)
    y: Tensor = _Segment.apply(segment, x, shortcut, *parameters)
    return y


def _chunks(items: Sequence[_T], n: int) -> Iterator[Sequence[_T]]:
    return (items[i : i + n] for i in range(0, len(items), n))
