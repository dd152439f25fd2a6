"""Filled, upsampled features times a weight, without the filled, upsampled features.

The descriptor generator applies a linear layer to all pixel positions of a slice, after the
features (a quarter of the resolution) were upsampled bilinearly and after every position
outside the region was filled with the feature of a position inside it. Both steps are linear
in the features and act on positions only, so they can act on the weight instead:

    W · fill(U F) = (Uᵀ fillᵀ Wᵀ)ᵀ · F,

where U is the bilinear upsampling and ``fillᵀ`` adds the weight column of every outside
position to the column of the position that it copies. This is the same sum in another order, with
512 x 65,536 fewer numbers to store per slice and a sixteenth of the multiplications.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

Fill = Literal["random", "published", "cyclic", "mean"]


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision raised to float32; float32 and float64 unchanged."""
    return x if x.dtype == torch.float64 else x.float()


def without_autocast(x: Tensor) -> torch.autocast:
    """A context in which products are computed in the precision of their operands."""
    return torch.autocast(x.device.type, enabled=False)


_ROWS = 64  # weight rows processed at a time, to keep temporaries small


def fill_sources(
    region: Bool[Tensor, "n h w"], fill: Literal["random", "published", "cyclic"]
) -> Int[Tensor, "n hw"]:
    """The position whose feature each position takes: itself inside, a drawn one outside.

    The k-th outside position (raster order) takes the (k mod n_in)-th inside position, in
    raster order (``cyclic``) or in an order drawn from torch's generator (``random``); so
    while n_in >= n_out no position is drawn twice, and otherwise each is drawn
    floor(n_out / n_in) times or once more. ``published`` draws what the public code does: first
    n_out mod n_in positions in a drawn order, then all of them in raster order, again and again.
    Shapes are static and nothing waits for the device. Without an inside position the sources are
    meaningless; the caller masks them.
    """
    inside = region.flatten(1)
    n_inside = inside.sum(dim=1, keepdim=True).clamp(min=1)
    rank = (torch.cumsum(~inside, dim=1) - 1).clamp(min=0)
    if fill == "published":
        first = (~inside).sum(dim=1, keepdim=True) % n_inside
        whole = _inside_in_order(inside, shuffled=False).gather(1, (rank - first) % n_inside)
        picks = _inside_in_order(inside, shuffled=True).gather(1, rank % n_inside)
        drawn = torch.where(rank < first, picks, whole)
    else:
        order = _inside_in_order(inside, shuffled=fill == "random")
        drawn = order.gather(1, rank % n_inside)
    position = torch.arange(inside.shape[1], device=inside.device).expand_as(inside)
    return torch.where(inside, position, drawn)


def _inside_in_order(inside: Bool[Tensor, "n hw"], *, shuffled: bool) -> Int[Tensor, "n hw"]:
    """Positions, those inside first: in a drawn order, or in raster order."""
    if shuffled:
        key = torch.rand(inside.shape, device=inside.device)
    else:
        key = torch.linspace(0, 0.5, inside.shape[1], device=inside.device).expand_as(inside)
    # Keys lie in [0, 1) and every outside position's is raised by 1, so one sort with a fixed
    # shape puts the inside positions first: in the order of their keys, which is a draw without
    # replacement (random) or, as the sort is stable, raster order. Up to 0.5 only, because in
    # float32 the largest key must not be rounded up to 1.
    return torch.argsort(key + ~inside, dim=1, stable=True)


@lru_cache(maxsize=64)
def _interpolation_matrix(
    n_out: int, n_in: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Bilinear upsampling along one axis, corners aligned: (n_out, n_in), two taps a row."""
    with torch.inference_mode(False), torch.no_grad():
        eye = torch.eye(n_in, dtype=torch.float64).unsqueeze(0)
        taps = F.interpolate(eye, size=n_out, mode="linear", align_corners=True)[0].T
        return taps.to(device=device, dtype=dtype).contiguous()


def upsample(maps: Float[Tensor, "*n hf wf"], size: tuple[int, int]) -> Float[Tensor, "*n h w"]:
    """U: bilinear upsampling with aligned corners, as two small matrix products."""
    uy = _interpolation_matrix(size[0], maps.shape[-2], maps.device, maps.dtype)
    ux = _interpolation_matrix(size[1], maps.shape[-1], maps.device, maps.dtype)
    with without_autocast(maps):
        return uy @ (maps @ ux.T)


def upsample_adjoint(
    rows: Float[Tensor, "*n h w"], size: tuple[int, int]
) -> Float[Tensor, "*n hf wf"]:
    """Uᵀ: the adjoint of the upsampling from ``size`` to h x w."""
    uy = _interpolation_matrix(rows.shape[-2], size[0], rows.device, rows.dtype)
    ux = _interpolation_matrix(rows.shape[-1], size[1], rows.device, rows.dtype)
    with without_autocast(rows):
        return uy.T @ (rows @ ux)


class _FillPool(torch.autograd.Function):
    """P[i] = Uᵀ fillᵢᵀ Wᵀ for n fills, in blocks of rows."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, sources: Tensor, shape: tuple[int, int], size: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(sources)
        ctx.shape = shape
        pooled = weight.new_empty(len(sources), len(weight), *size)
        for i, source in enumerate(sources):
            for rows in range(0, len(weight), _ROWS):
                block = weight[rows : rows + _ROWS]
                folded = torch.zeros_like(block).scatter_add_(1, source.expand_as(block), block)
                pooled[i, rows : rows + _ROWS] = upsample_adjoint(folded.view(-1, *shape), size)
        return pooled

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (sources,) = ctx.saved_tensors
        (grad,) = grads
        grad_weight = grad.new_empty(grad.shape[1], sources.shape[1])
        for rows in range(0, grad.shape[1], _ROWS):
            block = grad_weight[rows : rows + _ROWS]
            for i, source in enumerate(sources):
                image = upsample(grad[i, rows : rows + _ROWS], ctx.shape).flatten(1)
                filled = image.gather(1, source.expand_as(block))
                block.copy_(filled) if i == 0 else block.add_(filled)
        return grad_weight, None, None, None


def pool_filled(
    weight: Float[Tensor, "k hw"],
    region: Float[Tensor, "n h w"],
    size: tuple[int, int],
    fill: Fill,
) -> Float[Tensor, "n k p"]:
    """The weight with the fill of each region and the upsampling folded into it.

    ``pool_filled(W, m, size, fill) @ F.T`` equals W applied to the filled, upsampled features.

    Args:
        weight: one row per output, one column per pixel position.
        region: 1 inside, 0 outside; an empty region gives zeros.
        size: height and width of the features; p is their product.
        fill: ``random`` | ``published`` | ``cyclic`` (see :func:`fill_sources`) or ``mean``, the
            expectation of the random fill, where every outside position takes the inside's mean.
    """
    inside = region > 0.5
    shape = (region.shape[1], region.shape[2])
    if fill == "mean":
        pooled = _pool_mean(weight, inside, size)
    else:
        sources = fill_sources(inside, fill)
        pooled = _FillPool.apply(weight, sources, shape, size).flatten(2)
    return pooled * inside.flatten(1).any(dim=1).to(pooled.dtype)[:, None, None]


def _pool_mean(
    weight: Float[Tensor, "k hw"], inside: Bool[Tensor, "n h w"], size: tuple[int, int]
) -> Float[Tensor, "n k p"]:
    """The expected fill: inside columns are kept, and outside columns are applied to the mean."""
    mask = inside.to(weight.dtype)
    mean = mask / mask.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    outside = (1 - mask).flatten(1) @ weight.T
    rows = weight.view(-1, *mask.shape[1:])
    kept = torch.stack([upsample_adjoint(rows * m, size) for m in mask])
    return (kept + outside[:, :, None, None] * upsample_adjoint(mean, size).unsqueeze(1)).flatten(2)
