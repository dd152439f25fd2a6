"""Weights of the public research code: read safely, fitted by name, written back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gmrd.errors import InputError
from gmrd.nn import GMRD, build_network
from gmrd.nn.research_format import (
    describe_public,
    from_public_name,
    load_public,
    read_public,
    to_public,
)
from helpers.golden_network import golden


@pytest.mark.parametrize(("variant", "activation"), [("paper", "relu"), ("head", "none")])
def test_public_names_are_those_of_the_public_code(variant: str, activation: str) -> None:
    names = golden(variant)[0]["state_dict_shapes"].keys()
    with torch.device("meta"):
        network = build_network(activation=activation, with_threshold=True)
    assert to_public(network).keys() == names
    assert {from_public_name(n) for n in names} - {"encoder.reduce2.weight"} == set(
        network.state_dict()
    )


@pytest.mark.parametrize("activation", ["relu", "none"])
def test_there_and_back(
    public_network: Callable[..., GMRD], activation: str, tmp_path: Path
) -> None:
    network = public_network(activation=activation)
    torch.save({"state_dict": to_public(network)}, tmp_path / "public.pth")
    weights = read_public(tmp_path / "public.pth")
    found = describe_public(weights)
    assert found == {
        "backbone": "resnet50",
        "n_features": 8,
        "n_foreground": 3,
        "n_background": 4,
        "image_size": 32,
        "activation": activation,
    }
    torch.manual_seed(1)
    again = build_network(**found, with_threshold=True)
    load_public(again, weights)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)


def test_without_threshold_the_rest_is_loaded(public_network: Callable[..., GMRD]) -> None:
    network = public_network(with_threshold=False)
    load_public(network, to_public(public_network()))
    assert not any("threshold" in name for name in network.state_dict())


def test_what_does_not_fit_is_named(public_network: Callable[..., GMRD]) -> None:
    weights = to_public(public_network())
    weights["decoder9.weight"] = weights.pop("decoder1.down.3.weight")
    weights["mlp1.reduce.0.bias"] = torch.zeros(7)
    with pytest.raises(InputError) as refused:
        load_public(public_network(), weights)
    message = str(refused.value)
    assert "foreground_decoder.head.3.weight is missing" in message
    assert "decoder9.weight is unknown" in message
    assert "mlp1.reduce.0.bias has shape (7,), the network's is (3,)" in message


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": Trap()}, "never executed"),
        ([1, 2], "is not a state dict"),
        ({"a": 1.0}, "is not a state dict"),
        (None, "no checkpoint at"),
    ],
)
def test_refused_files(content: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    if content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=words):
        read_public(path)


def test_weights_of_something_else() -> None:
    other: dict[str, Tensor] = {"conv.weight": torch.zeros(1)}
    with pytest.raises(InputError, match=r"mlp1\.reduce\.0\.weight"):
        describe_public(other)


def test_no_threshold_no_public_format(public_network: Callable[..., GMRD]) -> None:
    with pytest.raises(InputError, match="with_threshold=true"):
        to_public(public_network(with_threshold=False))
