"""Tuning on annotated slices: they are predicted better, by the seed alone, on a copy."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gmrd import adaptation
from gmrd.adaptation import Annotated, adapted
from gmrd.nn import GMRD, build_network

SIZE = 32


def network() -> GMRD:
    torch.manual_seed(0)
    return build_network(
        backbone="resnet18", n_features=16, n_foreground=4, n_background=6, image_size=SIZE
    ).eval()


def annotated() -> Annotated:
    masks = torch.zeros(2, SIZE, SIZE)
    masks[:, 8:22, 10:24] = 1
    generator = torch.Generator().manual_seed(0)
    return 2 * masks + 0.3 * torch.randn(2, SIZE, SIZE, generator=generator), masks


def error(of: GMRD) -> float:
    images, masks = annotated()
    with torch.inference_mode():
        described = of.describe(images[None, :1], masks[None, :1])
        [found] = of.predict(images[1:], [described])
    return float(F.binary_cross_entropy(found.clamp(1e-6, 1 - 1e-6), masks[1:]))


def test_the_annotated_organ_is_predicted_better_and_the_network_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adaptation, "LEARNING_RATE", 3e-3)  # or the test takes a minute
    made = network()
    before, state = error(made), {n: v.clone() for n, v in made.state_dict().items()}
    told: list[int] = []
    tuned = adapted(made, [annotated()], 30, progress=lambda task, done, total: told.append(done))
    assert error(tuned) < 0.8 * before
    assert all(torch.equal(v, state[n]) for n, v in made.state_dict().items())
    assert told == list(range(31))
    assert not tuned.training


def test_a_seed_gives_one_copy_whatever_was_drawn_before() -> None:
    first = adapted(network(), [annotated()], 2, seed=3).state_dict()
    torch.rand(7)
    again = adapted(network(), [annotated()], 2, seed=3).state_dict()
    other = adapted(network(), [annotated()], 2, seed=4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
