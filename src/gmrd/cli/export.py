"""gmrd-export: a checkpoint without optimiser state, or the query path as a program or ONNX."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from gmrd.cli.console import command
from gmrd.io.atomic import refuse_same_file

console = Console()


@command("export")
def main(cfg: DictConfig) -> None:
    """Console entry point."""
    from gmrd.predict.export import export_onnx, export_program, shrink

    writers = {"checkpoint": shrink, "torch": export_program, "onnx": export_onnx}
    source, path = Path(str(cfg.ckpt_path)), Path(str(cfg.out))
    refuse_same_file(source, path)
    report = writers[cfg.format](source, path)
    size = path.stat().st_size / 1e6
    # A path is neither markup nor broken across lines.
    console.out(f"{path}: {size:.1f} MB. {report}", highlight=False)


if __name__ == "__main__":
    main()
