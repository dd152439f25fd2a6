"""gmrd-app: a local web page for prediction."""

from __future__ import annotations

from omegaconf import DictConfig
from rich.console import Console

from gmrd.cli.console import command
from gmrd.cli.declared import fitted_keys
from gmrd.cli.refusals import defect, sentence

console = Console()


@command("app")
def main(cfg: DictConfig) -> None:
    """Console entry point."""
    from gmrd.predict.app import serve

    if cfg.host not in ("127.0.0.1", "localhost", "::1"):
        console.print(
            f"[yellow]note:[/] host={cfg.host} opens the page to the network; it has no password."
        )
    serve(
        checkpoint=cfg.ckpt_path,
        options=fitted_keys("app", cfg)["options"],
        host=cfg.host,
        port=cfg.port,
        max_megabytes=float(cfg.max_megabytes),
        explain=lambda error: sentence(error) or defect(error),
    )


if __name__ == "__main__":
    main()
