"""Folding fill and upsampling into the weight is exact, gradients included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gmrd.nn.pooling import fill_sources, pool_filled, upsample, upsample_adjoint

SHAPE, SIZE = (11, 13), (4, 5)


def region(kind: str) -> Tensor:
    torch.manual_seed(1)
    mask = torch.zeros(1, *SHAPE)
    if kind == "some":
        mask = (torch.rand(1, *SHAPE) > 0.7).float()
    elif kind == "most":
        mask = (torch.rand(1, *SHAPE) > 0.2).float()
    elif kind == "one pixel":
        mask[0, 5, 6] = 1
    elif kind == "all":
        mask += 1
    return mask


KINDS = ("some", "most", "one pixel", "all", "none")


def explicit(features: Tensor, weight: Tensor, mask: Tensor, fill: str) -> Tensor:
    """Upsample, fill position by position, apply the weight."""
    full = F.interpolate(features, size=SHAPE, mode="bilinear", align_corners=True).flatten(2)
    inside = mask.flatten(1)[0].nonzero().flatten().tolist()
    outside = (1 - mask).flatten(1)[0].nonzero().flatten().tolist()
    if not inside:
        return torch.zeros_like(full) @ weight.T
    columns = [full[:, :, i] for i in range(full.shape[2])]
    for k, position in enumerate(outside):
        mean = full[:, :, inside].mean(dim=2)
        columns[position] = mean if fill == "mean" else full[:, :, inside[k % len(inside)]]
    return torch.stack(columns, dim=2) @ weight.T


@pytest.mark.parametrize("fill", ["cyclic", "mean"])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_explicit_fill(kind: str, fill: str) -> None:
    mask = region(kind).double()
    features = torch.randn(1, 3, *SIZE, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(70, SHAPE[0] * SHAPE[1], dtype=torch.float64, requires_grad=True)
    ours = features.flatten(2) @ pool_filled(weight, mask, SIZE, fill).mT
    theirs = explicit(features, weight, mask, fill)
    torch.testing.assert_close(ours, theirs)
    probe = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, (features, weight), probe),
        torch.autograd.grad(theirs, (features, weight), probe, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("fill", ["cyclic", "random", "published", "mean"])
def test_gradcheck(fill: str) -> None:
    mask = torch.cat([region("some"), region("one pixel"), region("none")]).double()
    weight = torch.randn(2, SHAPE[0] * SHAPE[1], dtype=torch.float64, requires_grad=True)

    def pooled(w: Tensor) -> Tensor:
        torch.manual_seed(3)
        return pool_filled(w, mask, SIZE, fill)

    assert torch.autograd.gradcheck(pooled, (weight,))


def test_upsampling_and_its_adjoint() -> None:
    maps = torch.randn(2, 3, *SIZE, dtype=torch.float64)
    full = F.interpolate(maps, size=SHAPE, mode="bilinear", align_corners=True)
    torch.testing.assert_close(upsample(maps, SHAPE), full)
    rows = torch.randn_like(full)
    torch.testing.assert_close((full * rows).sum(), (maps * upsample_adjoint(rows, SIZE)).sum())


@pytest.mark.parametrize("kind", ["some", "most", "one pixel", "all"])
def test_random_fill_draws_evenly(kind: str) -> None:
    mask = region(kind) > 0.5
    torch.manual_seed(0)
    sources = fill_sources(mask, "random")[0]
    inside = mask.flatten()
    assert inside[sources].all()
    assert (sources[inside] == inside.nonzero().flatten()).all()
    times = torch.bincount(sources[~inside], minlength=inside.numel())[inside]
    n_out, n_in = int((~inside).sum()), int(inside.sum())
    assert times.min() >= n_out // n_in
    assert times.max() <= -(-n_out // n_in)


def test_random_fill_is_seeded_and_its_mean_is_the_mean_fill() -> None:
    mask, weight = region("some").double(), torch.randn(2, SHAPE[0] * SHAPE[1]).double()
    torch.manual_seed(5)
    first = pool_filled(weight, mask, SIZE, "random")
    torch.manual_seed(5)
    torch.testing.assert_close(first, pool_filled(weight, mask, SIZE, "random"), rtol=0, atol=0)
    draws = torch.stack([pool_filled(weight, mask, SIZE, "random") for _ in range(4000)])
    error = (draws.mean(dim=0) - pool_filled(weight, mask, SIZE, "mean")).abs()
    assert (error < 5 * draws.std(dim=0) / 4000**0.5 + 1e-9).all()


@pytest.mark.parametrize("kind", ["some", "most", "one pixel", "all"])
def test_the_published_fill_gives_the_drawn_remainder_first_then_whole_copies(kind: str) -> None:
    """Restated: a list of picks for the outside positions in raster order."""
    mask = region(kind) > 0.5
    inside = mask.flatten().numpy()
    torch.manual_seed(4)
    filled = fill_sources(mask, "published")[0].numpy()
    there, out = np.flatnonzero(inside), np.flatnonzero(~inside)
    copies, remainder = divmod(len(out), len(there))
    picked, whole = filled[out][:remainder], filled[out][remainder:]
    assert len(set(picked)) == remainder
    assert set(picked) <= set(there)
    assert whole.tolist() == there.tolist() * copies
    assert filled[there].tolist() == there.tolist()
    other = fill_sources(mask, "published")[0].numpy()
    if remainder > 1:
        assert other[out][:remainder].tolist() != picked.tolist(), "drawn anew"
