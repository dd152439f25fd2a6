"""gmrd-demo: from phantom volumes to a trained network and scored segmentations."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from gmrd.cli.console import command

console = Console()

SUPPORT, QUERY = 4, 1
"""Case numbers of the phantom."""


@contextmanager
def stage(title: str, seconds: dict[str, float]) -> Iterator[None]:
    """Print a stage's title, and record how long it took."""
    console.rule(f"[bold]{title}", align="left")
    start = time.perf_counter()
    yield
    seconds[title] = time.perf_counter() - start


@command("demo")
def main(cfg: DictConfig) -> None:
    """Make phantoms, segment one scan from another, train on supervoxels and score."""
    from hydra.utils import instantiate

    from gmrd.cli.train import train
    from gmrd.data.phantom import make_phantom

    out, seconds = Path(cfg.out), dict[str, float]()
    with stage("1. phantom volumes", seconds):
        folder = make_phantom(Path(cfg.data.root), n_cases=cfg.n_cases, seed=cfg.seed)
        console.out(f"{cfg.n_cases} cases with four organs in {folder}")
    with stage("2. one annotated scan, nothing trained", seconds):
        _show_matching(folder, cfg.data.classes, out / "found")
    with stage("3. supervoxels", seconds):
        instantiate(cfg.data).prepare_data()
    with stage("4. training without labels, and scoring", seconds):
        train(cfg)
    for title, taken in seconds.items():
        console.print(f"{title:<45} {taken:6.1f} s")
    console.out(
        f"Results in {out.resolve()}: pictures, NIfTI predictions, scores.csv",
    )


def _show_matching(folder: Path, classes: Mapping[int, str], out: Path) -> None:
    """Segment one phantom from another as gmrd-predict does, and print the Dice scores."""
    from gmrd.evaluation.metrics import overlap_scores
    from gmrd.io.readers import read_label, read_scan
    from gmrd.predict.outputs import write_outputs
    from gmrd.predict.segmentation import Predictor

    support, query = (folder / f"image_{case}.nii.gz" for case in (SUPPORT, QUERY))
    names = {int(value): str(name) for value, name in classes.items()}
    pair = (support, folder / f"label_{SUPPORT}.nii.gz")
    scan = read_scan(query)
    found = Predictor([pair], names=names)(scan)
    truth = read_label(folder / f"label_{QUERY}.nii.gz", scan)
    for value, name in names.items():
        dice = overlap_scores(found.labels == value, truth == value).dice
        estimate = f"estimated {100 * found.quality[name]:.0f}"
        console.print(f"{name:<14} Dice {100 * dice:5.1f} %  ({estimate})", markup=False)
    write_outputs(found, out)
    console.out(
        f"Took {found.seconds:.0f} s; label map, picture and page in {out}",
    )


if __name__ == "__main__":
    main()
