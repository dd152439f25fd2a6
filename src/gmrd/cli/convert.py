"""gmrd-convert: weights of the public research code to a gmrd checkpoint, or vice versa."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from gmrd.cli.console import command
from gmrd.cli.declared import fitted_keys
from gmrd.io.atomic import refuse_same_file

console = Console()


@command("convert")
def main(cfg: DictConfig) -> None:
    """Console entry point."""
    from gmrd.checkpoint.conversion import convert_to_gmrd, convert_to_public

    source, out = Path(str(cfg.source)), Path(str(cfg.out))
    refuse_same_file(source, out)
    if cfg.to == "gmrd":
        module = convert_to_gmrd(source, out, fitted_keys("convert", cfg)["model"])
        n_weights = sum(p.numel() for p in module.network.parameters())
        console.out(
            f"{out}: variant {module.variant}, {n_weights / 1e6:.1f} million weights",
        )
    else:
        convert_to_public(source, out)
        console.out(f"{out}: weights in the public code's format")


if __name__ == "__main__":
    main()
