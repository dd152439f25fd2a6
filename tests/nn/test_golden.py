"""The full-size network equals the published one, in numbers measured with the public code."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from gmrd.losses import GMRDLoss
from gmrd.nn import GMRD, NetworkOutput, build_network
from gmrd.nn.research_format import from_public_name, load_public
from helpers.golden_network import golden, golden_episode, public_state_dict

VARIANTS = {"paper": ("relu", 0.5), "head": ("none", 0.0)}
"""The generator's activation and the weight of the auxiliary loss."""

CLOSE = {"rtol": 2e-4, "atol": 2e-5}


@pytest.fixture(scope="module")
def built() -> Callable[[str], GMRD]:
    """The network of a variant with the golden weights; one object, which no test may change."""

    @cache
    def build(variant: str) -> GMRD:
        activation, _ = VARIANTS[variant]
        network = build_network(
            activation=activation, with_threshold=True, fill="cyclic", dropout=0.0
        )
        load_public(network, public_state_dict(variant))
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout2d):
                module.p = 0.0
        return network.eval()

    return build


@pytest.fixture(params=VARIANTS)
def case(
    request: pytest.FixtureRequest, built: Callable[[str], GMRD]
) -> tuple[str, GMRD, Any, Any]:
    """A variant, its network, a copy for every test, and what was measured."""
    return request.param, copy.deepcopy(built(request.param)), *golden(request.param)


def loss_of(variant: str) -> GMRDLoss:
    return GMRDLoss(auxiliary_weight=VARIANTS[variant][1])


def check(variant: str, output: NetworkOutput, episode: Any, facts: Any, image: Any) -> None:
    losses = loss_of(variant)(output, episode)
    names = ("query", "align", "auxiliary") if variant == "paper" else ("query", "align")
    for name in names:
        assert losses[name].item() == pytest.approx(facts[f"{name}_loss"], rel=2e-4, abs=1e-6)
    weights = {"query": 1.0, "align": 1.0, "auxiliary": 0.5}
    total = sum(weights[name] * facts[f"{name}_loss"] for name in names)
    assert losses["total"].item() == pytest.approx(total, rel=2e-4)
    foreground = output.probabilities[0, 0, 1].detach()
    assert foreground.mean().item() == pytest.approx(facts["pred_fg_mean"], rel=1e-4)
    assert foreground.std().item() == pytest.approx(facts["pred_fg_std"], rel=1e-3, abs=1e-6)
    assert int((foreground > 0.5).sum()) == pytest.approx(facts["argmax_fg_pixels"], abs=2)
    np.testing.assert_allclose(foreground[::8, ::8], image, **CLOSE)


@torch.no_grad()
def test_encoder_and_threshold(case: Any) -> None:
    _, network, facts, arrays = case
    episode = golden_episode()
    deep = network.encoder.deep(torch.cat([episode.support_images, episode.query_images])[:, 0])
    features = network.encoder.reduce(deep)
    assert features.shape == (2, 512, 64, 64)
    np.testing.assert_allclose(
        features[:, ::64, ::8, ::8], arrays["encoder_features_stride"], **CLOSE
    )
    thresholds = network.encoder.threshold(deep)
    np.testing.assert_allclose(thresholds, facts["results"]["encoder"]["threshold"], rtol=1e-4)


@torch.no_grad()
def test_evaluation(case: Any) -> None:
    variant, network, facts, arrays = case
    episode = golden_episode()
    output = network(episode)
    for kind, step in (("fg", 1), ("bg", 10)):
        rows = getattr(output.support, {"fg": "foreground", "bg": "background"}[kind])[0]
        np.testing.assert_allclose(
            rows[::step, ::16], arrays[f"{kind}_descriptors_stride"], **CLOSE
        )
        np.testing.assert_allclose(rows[-2:], arrays[f"{kind}_descriptors_last2"], **CLOSE)
    image = arrays["eval_mode_fg_prob_stride8"]
    check(variant, output, episode, facts["results"]["eval_mode"], image)
    support = network.describe(episode.support_images, episode.support_masks)
    (alone,) = network.predict(episode.query_images[0], [support])
    torch.testing.assert_close(alone, output.probabilities[0, :, 1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_empty_support(case: Any) -> None:
    variant, network, facts, arrays = case
    full = golden_episode()
    masks = torch.zeros_like(full.support_masks)
    episode = replace(full, support_masks=masks, any_empty_support=True)
    image = arrays["eval_mode_empty_support_fg_prob_stride8"]
    check(variant, network(episode), episode, facts["results"]["eval_mode_empty_support"], image)
    support = network.describe(full.support_images, masks)
    (alone,) = network.predict(full.query_images[0], [support])
    np.testing.assert_allclose(alone[0, ::8, ::8], image, **CLOSE)


def test_training_and_gradients(case: Any) -> None:
    variant, network, facts, arrays = case
    expected = facts["results"]["train_mode_dropout_off"]
    episode = golden_episode()
    output = network.train()(episode)
    check(variant, output, episode, expected, arrays["train_mode_dropout_off_fg_prob_stride8"])
    loss_of(variant)(output, episode)["total"].backward()
    parameters = dict(network.named_parameters())
    for name, norm in expected["grad_norm"].items():
        gradient = parameters[from_public_name(name)].grad
        assert gradient.norm().item() == pytest.approx(norm, rel=2e-4), name
    without = {from_public_name(name) for name in expected["params_without_grad"]}
    without -= {"encoder.reduce2.weight"}
    assert {n for n, p in parameters.items() if p.grad is None} == without - {
        "encoder.reduce2.weight"
    }
    assert not any(parameters[n].requires_grad for n in without & parameters.keys())
