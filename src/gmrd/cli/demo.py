"""gmrd-demo: phantom volumes in, trained network and measured segmentations out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from gmrd.cli.console import command

console = Console()


@contextmanager
def stage(title: str, seconds: dict[str, float]) -> Iterator[None]:
    """Announce a stage, and note how long it took."""
    console.rule(f"[bold]{title}", align="left")
    start = time.perf_counter()
    yield
    seconds[title] = time.perf_counter() - start


@command("demo")
def main(cfg: DictConfig) -> None:
    """Make the phantom, cut it into supervoxels, train, score, and show the result."""
    from hydra.utils import instantiate

    from gmrd.cli.train import train
    from gmrd.data.phantom import make_phantom

    out, seconds = Path(cfg.out), dict[str, float]()
    with stage("1. phantom volumes", seconds):
        folder = make_phantom(Path(cfg.data.root), n_cases=cfg.n_cases, seed=cfg.seed)
        console.print(f"{cfg.n_cases} cases with four organs in {folder}")
    with stage("2. supervoxels", seconds):
        instantiate(cfg.data).prepare_data()
    with stage("3. training without labels, and scoring", seconds):
        train(cfg)
    for title, taken in seconds.items():
        console.print(f"{title:<45} {taken:6.1f} s")
    console.print(f"Everything lies in {out.resolve()}: pictures, NIfTI predictions, scores.csv")
