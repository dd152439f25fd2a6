"""gmrd-convert: weights of the public research code to a gmrd checkpoint, or vice versa."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console

from gmrd.cli.console import command
from gmrd.io.atomic import refuse_same_file, replacing

if TYPE_CHECKING:
    from gmrd.module import GMRDModule

# Libraries are imported where they are used, so that a missing setting is reported at once.

console = Console()


def convert_to_gmrd(source: Path, out: Path, model: DictConfig) -> GMRDModule:
    """Write a checkpoint that Lightning and ``load_module`` read, from public weights.

    The weights determine the network's architecture; the configuration, everything else.

    Raises:
        InputError: the source is missing, unsafe, in another format or does not fit.
    """
    import torch

    from gmrd.nn.research_format import describe_public, load_public, read_public

    weights = read_public(source)
    found = describe_public(weights)
    network = {**model.network, **found, "pretrained": None, "with_threshold": True}
    # The public code without ReLU has no auxiliary loss, either.
    weight = model.loss.auxiliary_weight if found["activation"] == "relu" else 0.0
    loss = {**model.loss, "auxiliary_weight": weight}
    module: GMRDModule = instantiate(model, network=network, loss=loss)
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
    import torch

    from gmrd.checkpoint.load import load_module
    from gmrd.nn.research_format import to_public

    weights = to_public(load_module(source).network)
    with replacing(out) as temporary:
        torch.save(weights, temporary)


@command("convert")
def main(cfg: DictConfig) -> None:
    """Console entry point."""
    source, out = Path(str(cfg.source)), Path(str(cfg.out))
    refuse_same_file(source, out)
    if cfg.to == "gmrd":
        module = convert_to_gmrd(source, out, cfg.model)
        n_weights = sum(p.numel() for p in module.network.parameters())
        console.print(f"{out}: variant {module.variant}, {n_weights / 1e6:.1f} million weights")
    else:
        convert_to_public(source, out)
        console.print(f"{out}: weights in the public code's format")
