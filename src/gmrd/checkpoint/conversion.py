"""Weights of the public research code to a checkpoint of gmrd, and vice versa."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from gmrd.checkpoint.load import load_module
from gmrd.components import build
from gmrd.io.atomic import replacing
from gmrd.module import GMRDModule
from gmrd.nn.research_format import describe_public, load_public, read_public, to_public
from gmrd.values.arguments import TARGET


def convert_to_gmrd(source: Path, out: Path, model: Mapping[str, Any]) -> GMRDModule:
    """Write a checkpoint that Lightning and ``load_module`` read, from public weights.

    Args:
        source: the public weights, which determine the network's architecture.
        out: the checkpoint.
        model: a ``model`` section, for everything else.

    Raises:
        InputError: the source is missing, unsafe, in another format or does not fit.
    """
    weights = read_public(source)
    found = describe_public(weights)
    network = {**model["network"], **found, "pretrained": None, "with_threshold": True}
    # The public code without ReLU has no auxiliary loss, either.
    weight = model["loss"]["auxiliary_weight"] if found["activation"] == "relu" else 0.0
    loss = {**model["loss"], "auxiliary_weight": weight}
    own = {key: of for key, of in model.items() if key == TARGET or not key.startswith("_")}
    module = build("model", {**own, "network": network, "loss": loss}, GMRDModule)
    load_public(module.network, weights)
    checkpoint = {
        "state_dict": module.state_dict(),
        "hyper_parameters": dict(module.hparams),
        "pytorch-lightning_version": version("pytorch-lightning"),
        "epoch": 0,
        "global_step": 0,
    }
    with replacing(out) as temporary:
        torch.save(checkpoint, temporary)
    return module


def convert_to_public(source: Path, out: Path) -> None:
    """Write the network of a gmrd checkpoint as a state dict of the public code.

    Raises:
        InputError: the source is not a gmrd checkpoint, or its network has no threshold.
    """
    weights = to_public(load_module(source).network)
    with replacing(out) as temporary:
        torch.save(weights, temporary)
