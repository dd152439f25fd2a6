"""Weights in the public research code's format: its names, and ours for them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from gmrd.errors import InputError
from gmrd.nn.network import GMRD

_RENAME = [
    (r"^encoder\.backbone\.conv1\.", "encoder.stem.0."),
    (r"^encoder\.backbone\.bn1\.", "encoder.stem.1."),
    (r"^encoder\.backbone\.(layer[123])\.", r"encoder.\1."),
    (r"^encoder\.backbone\.(layer4|fc)\.", r"encoder.threshold.\1."),
    (r"^encoder\.reduce1\.", "encoder.reduce."),
    (r"^encoder\.reduce1d\.", "encoder.threshold.linear."),
    (r"^mlp1\.reduce\.0\.", "foreground.positions."),
    (r"^mlp1\.reduce\.[23]\.", "foreground.mix."),
    (r"^mlp2\.reduce\.0\.", "background.positions."),
    (r"^mlp2\.reduce\.[23]\.", "background.mix."),
    (r"^decoder1\.", "foreground_decoder."),
    (r"^decoder2\.", "background_decoder."),
    (r"_decoder\.res1\.0\.", "_decoder.reduce."),
    (r"_decoder\.res2\.", "_decoder.residual."),
    (r"_decoder\.down\.", "_decoder.head."),
]


def from_public_name(name: str) -> str:
    """Our name of a parameter of the public research code."""
    for pattern, replacement in _RENAME:
        name = re.sub(pattern, replacement, name)
    return name


_UNUSED = {"encoder.reduce2.weight"}
"""Computed but never read by the public code."""


def load_public(network: GMRD, weights: Mapping[str, Tensor]) -> None:
    """Load weights in the public code's format into a network built for them.

    Raises:
        InputError: a weight is missing, unknown or of another shape; the message names it.
    """
    renamed = {from_public_name(name): value for name, value in weights.items()}
    for name in _UNUSED:
        renamed.pop(name, None)
    expected = network.state_dict()
    if not expected.keys() & {"encoder.threshold.fc.weight"}:
        renamed = {k: v for k, v in renamed.items() if not k.startswith("encoder.threshold.")}
    problems = [f"missing: {name}" for name in expected.keys() - renamed.keys()]
    problems += [f"unknown: {name}" for name in renamed.keys() - expected.keys()]
    problems += [
        f"{name} is {tuple(renamed[name].shape)}, the network has {tuple(expected[name].shape)}"
        for name in expected.keys() & renamed.keys()
        if renamed[name].shape != expected[name].shape
    ]
    if problems:
        raise InputError("the weights do not fit the network: " + "; ".join(sorted(problems)))
    network.load_state_dict(renamed)
