"""A bottleneck block that remembers half as much for its backward pass.

Training keeps, of every residual block, what the backward pass reads. In the usual
implementation that is the block's input, two maps per normalisation and the widest map, the
third convolution's output. Here only the input and the first two convolutions' outputs are
kept; normalised maps are cheap to compute again, and the third convolution, 1 x 1, is run again.
Numbers are those of the usual block; only memory differs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

_ATEN = torch.ops.aten


class _Norm(NamedTuple):
    """A batch normalisation's batch statistics and affine parameters."""

    mean: Tensor
    inverse_std: Tensor
    weight: Tensor
    bias: Tensor

    def relu(self, x: Tensor) -> Tensor:
        """The normalised, rectified map, computed again."""
        scale = self.inverse_std * self.weight
        shift = self.bias - self.mean * scale
        return torch.addcmul(shift[:, None, None], x, scale[:, None, None]).relu_()

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
    """Gradients of input and weight."""
    padding = dilation * (weight.shape[2] // 2)
    gx, gw, _ = _ATEN.convolution_backward(
        grad, x, weight, None, [1, 1], [padding] * 2, [dilation] * 2, False, [0, 0], 1,
        [True, True, False],
    )  # fmt: skip
    return gx, gw


class _LeanBottleneck(torch.autograd.Function):
    """y = relu(shortcut + n3(conv3(relu(n2(conv2(relu(n1(conv1(x)))))))))."""

    @staticmethod
    def forward(
        ctx: Any, block: Bottleneck, x: Tensor, shortcut: Tensor, *parameters: Tensor
    ) -> Tensor:
        w1, g1, b1, w2, g2, b2, w3, g3, b3 = parameters
        ctx.dilation, ctx.eps = block.conv2.dilation[0], block.bn1.eps
        c1 = _conv(x, w1)
        r1, *s1 = _normalise(block.bn1, c1, g1, b1)
        c2 = _conv(r1.relu_(), w2, ctx.dilation)
        del r1
        r2, *s2 = _normalise(block.bn2, c2, g2, b2)
        c3 = _conv(r2.relu_(), w3)
        del r2
        y, *s3 = _normalise(block.bn3, c3, g3, b3)
        y.add_(shortcut).relu_()
        ctx.save_for_backward(x, c1, c2, y, *s1, *s2, *s3, *parameters)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, c1, c2, y, m1, i1, m2, i2, m3, i3, *parameters = ctx.saved_tensors
        w1, g1, b1, w2, g2, b2, w3, g3, b3 = parameters
        n1, n2 = _Norm(m1, i1, g1, b1), _Norm(m2, i2, g2, b2)
        gy = _ATEN.threshold_backward(grads[0], y, 0)
        r2 = n2.relu(c2)
        gc3, gg3, gb3 = _Norm(m3, i3, g3, b3).backward(gy, _conv(r2, w3), ctx.eps)
        gr2, gw3 = _conv_backward(gc3, r2, w3)
        gr2 = _ATEN.threshold_backward(gr2, r2, 0)
        del r2, gc3
        gc2, gg2, gb2 = n2.backward(gr2, c2, ctx.eps)
        r1 = n1.relu(c1)
        gr1, gw2 = _conv_backward(gc2, r1, w2, ctx.dilation)
        gr1 = _ATEN.threshold_backward(gr1, r1, 0)
        gc1, gg1, gb1 = n1.backward(gr1, c1, ctx.eps)
        gx, gw1 = _conv_backward(gc1, x, w1)
        return None, gx, gy, gw1, gg1, gb1, gw2, gg2, gb2, gw3, gg3, gb3


def _normalise(
    norm: nn.BatchNorm2d, x: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise by the batch and update the running statistics, as the module itself does."""
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    result: tuple[Tensor, Tensor, Tensor] = torch.native_batch_norm(
        x, weight, bias, norm.running_mean, norm.running_var, True, norm.momentum or 0.0, norm.eps
    )
    return result


class LeanBottleneck(Bottleneck):  # type: ignore[no-any-unimported]
    """torchvision's block, with the lean backward pass while it trains eagerly in float32.

    Compiled, under autocast, in evaluation mode and with another stride it is torchvision's.
    """

    def forward(self, x: Float[Tensor, "n d h w"]) -> Float[Tensor, "n out ho wo"]:
        """Equal to torchvision's block."""
        plain = (
            torch.compiler.is_compiling()
            or self.conv2.stride != (1, 1)
            or not (self.training and torch.is_grad_enabled())
            or torch.is_autocast_enabled(x.device.type)
        )
        if plain:
            y: Tensor = super().forward(x)
        else:
            layers = (self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)
            parameters = [p for c, n in layers for p in (c.weight, n.weight, n.bias)]
            shortcut = x if self.downsample is None else self.downsample(x)
            y = _LeanBottleneck.apply(self, x, shortcut, *parameters)
        return y
