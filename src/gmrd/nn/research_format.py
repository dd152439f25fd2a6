"""Weights in the public research code's format: safe reading, mapping of names, writing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gmrd.errors import InputError
from gmrd.nn.descriptors import Activation
from gmrd.nn.network import GMRD

_NAMES = (
    ("encoder.backbone.conv1.", "encoder.stem.0."),
    ("encoder.backbone.bn1.", "encoder.stem.1."),
    ("encoder.backbone.layer1.", "encoder.layer1."),
    ("encoder.backbone.layer2.", "encoder.layer2."),
    ("encoder.backbone.layer3.", "encoder.layer3."),
    ("encoder.backbone.layer4.", "encoder.threshold.layer4."),
    ("encoder.backbone.fc.", "encoder.threshold.fc."),
    ("encoder.reduce1.", "encoder.reduce."),
    ("encoder.reduce1d.", "encoder.threshold.linear."),
    ("mlp1.reduce.0.", "foreground.positions."),
    ("mlp2.reduce.0.", "background.positions."),
    ("decoder1.res1.0.", "foreground_decoder.reduce."),
    ("decoder1.res2.", "foreground_decoder.residual."),
    ("decoder1.down.", "foreground_decoder.head."),
    ("decoder2.res1.0.", "background_decoder.reduce."),
    ("decoder2.res2.", "background_decoder.residual."),
    ("decoder2.down.", "background_decoder.head."),
)
"""Prefixes of parameter names in the public code, and ours."""

_MIX: dict[Activation, str] = {"relu": "3", "none": "2"}
"""The generator's second linear layer comes after the activation, or in its place."""

_UNUSED = "encoder.reduce2.weight"
"""The public code never uses the result of this parameter; this package does not have it."""


def from_public_name(name: str) -> str:
    """Our name of a parameter of the public research code."""
    return _rename(name, [*_NAMES, *_mix_names("relu"), *_mix_names("none")])


def to_public(network: GMRD) -> dict[str, Tensor]:
    """The network's weights in the public format.

    Raises:
        InputError: the network has no threshold, which the format requires.
    """
    if getattr(network.encoder, "threshold", None) is None:
        raise InputError("the public format holds layer4 and the classifier: the network must be "
                         "built with with_threshold=true")  # fmt: skip
    relu = isinstance(network.foreground.activation, torch.nn.ReLU)
    names = [*_NAMES, *_mix_names("relu" if relu else "none")]
    back = [(ours, theirs) for theirs, ours in names]
    public = {_rename(name, back): value for name, value in network.state_dict().items()}
    encoder: Any = network.encoder
    n_features, n_deep = encoder.reduce.out_channels, encoder.threshold.n_channels
    return {**public, _UNUSED: torch.zeros(n_features, n_deep, 1, 1)}


def load_public(network: GMRD, weights: Mapping[str, Tensor]) -> None:
    """Load weights in the public format into a matching network.

    A network without threshold ignores the threshold's weights.

    Raises:
        InputError: a weight is missing, unknown or of another shape; the message names each.
    """
    ours = {name: from_public_name(name) for name in weights if name != _UNUSED}
    if getattr(network.encoder, "threshold", None) is None:
        ours = {k: v for k, v in ours.items() if not v.startswith("encoder.threshold.")}
    expected = network.state_dict()
    problems = [f"{name} is missing" for name in expected.keys() - ours.values()]
    for name, own in ours.items():
        if own not in expected:
            problems.append(f"{name} is unknown")
        elif weights[name].shape != expected[own].shape:
            problems.append(
                f"{name} has shape {tuple(weights[name].shape)}, the network's is "
                f"{tuple(expected[own].shape)}"
            )
    if problems:
        raise InputError("the weights do not fit the network: " + "; ".join(sorted(problems)))
    network.load_state_dict({own: weights[name] for name, own in ours.items()})


def read_public(path: str | Path) -> dict[str, Tensor]:
    """Read a checkpoint of the public code, which may only contain tensors.

    Raises:
        InputError: the file does not exist or contains something else.
    """
    if not Path(path).is_file():  # reading a pipe would block forever
        raise InputError(f"no checkpoint at {path}")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as plain tensors: it is damaged, or holds Python "
            "objects, which are never executed"
        ) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items()
    ):
        raise InputError(f"{path} is not a state dict (names and tensors)")
    return {name.removeprefix("module."): value for name, value in loaded.items()}


def describe_public(weights: Mapping[str, Tensor]) -> dict[str, str | int]:
    """The arguments of ``build_network`` that weights in the public format were trained with.

    Raises:
        InputError: they are not in that format; the message names what is missing.
    """
    needed = ("mlp1.reduce.0.weight", "mlp2.reduce.0.weight", "encoder.reduce1.weight")
    missing = [name for name in needed if name not in weights]
    if missing:
        raise InputError(
            f"these are not weights of the public GMRD code: {', '.join(missing)} is missing"
        )
    n_foreground, n_positions = weights[needed[0]].shape
    depth = len({n.split(".")[3] for n in weights if n.startswith("encoder.backbone.layer3.")})
    return {
        "backbone": "resnet101" if depth > 6 else "resnet50",
        "n_features": len(weights[needed[2]]),
        "n_foreground": n_foreground,
        "n_background": len(weights[needed[1]]),
        "image_size": round(n_positions**0.5),
        "activation": "none" if "mlp1.reduce.2.weight" in weights else "relu",
    }


def _mix_names(activation: Activation) -> list[tuple[str, str]]:
    generators = {"mlp1": "foreground", "mlp2": "background"}
    return [
        (f"{theirs}.reduce.{_MIX[activation]}.", f"{ours}.mix.")
        for theirs, ours in generators.items()
    ]


def _rename(name: str, names: Iterable[tuple[str, str]]) -> str:
    for old, new in names:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
