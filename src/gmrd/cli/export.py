"""gmrd-export: a checkpoint without its optimiser, or the query path as a program or ONNX."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from gmrd.cli.console import command
from gmrd.errors import InputError

console = Console()


@command("export")
def main(cfg: DictConfig) -> None:
    """Console entry point."""
    from gmrd.predict.export import export_onnx, export_program, shrink

    writers = {"checkpoint": shrink, "torch": export_program, "onnx": export_onnx}
    if cfg.format not in writers:
        raise InputError(f"format={cfg.format}: choose one of {', '.join(writers)}")
    source, path = Path(str(cfg.ckpt_path)), Path(str(cfg.out))
    if path.exists() and source.exists() and path.samefile(source):
        raise InputError(f"out={path} is the checkpoint itself, which would be lost: name another")
    report = writers[cfg.format](source, path)
    console.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB. {report}", highlight=False)
