"""One annotated scan in, nothing trained: Dice on CHAOST2, fold by fold, with time and memory.

    python bench/one_scan.py --root CHAOST2            # the 20 pairs of the five folds
    python bench/one_scan.py --root CHAOST2 --folds 2

The last case of a fold is its support. Nothing is known of the query; ``extent known`` leaves out
what was found on slices beyond the organ's true first and last.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch

import gmrd
from gmrd.data.protocol import fold_cases
from gmrd.evaluation.metrics import overlap_scores
from gmrd.io.readers import read_label, read_scan

ORGANS = {1: "liver", 2: "right_kidney", 3: "left_kidney", 4: "spleen"}


def files(root: Path, case: str) -> tuple[Path, Path]:
    folder = root / "chaos_MR_T2_normalized"
    return folder / f"image_{case}.nii.gz", folder / f"label_{case}.nii.gz"


def within_extent(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    held = np.flatnonzero(true.any(axis=(1, 2)))
    inside = np.zeros(len(true), dtype=bool)
    inside[held[0] : held[-1] + 1] = True
    return found & inside[:, None, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--encoder", default="lite0")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = (arguments.root / "chaos_MR_T2_normalized").glob("image_*.nii.gz")
    cases = sorted((f.name.split("_")[1].split(".")[0] for f in names), key=int)
    rows = []
    for fold in arguments.folds:
        *queries, support = fold_cases(cases, fold)
        predictor = gmrd.Predictor(
            [files(arguments.root, support)],
            names=ORGANS,
            options=gmrd.Options(encoder=arguments.encoder),
        )
        for case in queries:
            image, label = files(arguments.root, case)
            scan = read_scan(image)
            truth = read_label(label, scan)
            start = time.process_time()
            found = predictor(scan)
            cpu = time.process_time() - start
            for value, organ in ORGANS.items():
                mask, true = found.labels == value, truth == value
                dice = overlap_scores(mask, true).dice
                known = overlap_scores(within_extent(mask, true), true).dice
                rows.append((fold, organ, dice, known, found.quality[organ]))
            scores = " ".join(f"{organ} {100 * row[2]:.1f}" for organ, row in zip(
                ORGANS.values(), rows[-len(ORGANS):], strict=True))  # fmt: skip
            print(f"fold {fold}, {support} to {case}: {scores}; CPU {cpu:.1f} s", flush=True)
    report(rows)


def report(rows: list[tuple[int, str, float, float, float]]) -> None:
    """Means in per cent: all slices, then with the extent known."""
    for place in (0, 1):
        for key in dict.fromkeys(row[place] for row in rows):
            chosen = np.array([row[2:4] for row in rows if row[place] == key])
            title = f"fold {key}" if place == 0 else key
            print(f"{title:<14} {100 * chosen[:, 0].mean():5.1f} {100 * chosen[:, 1].mean():5.1f}")
    scores = np.array([row[2:] for row in rows])
    known = ~np.isnan(scores[:, 2])
    print(f"{'mean':<14} {100 * scores[:, 0].mean():5.1f} {100 * scores[:, 1].mean():5.1f}")
    print(f"5th percentile of organ Dice {100 * np.percentile(scores[:, 0], 5):.1f}")
    correlation = np.corrcoef(scores[known, 0], scores[known, 2])[0, 1]
    print(f"correlation of estimated with true Dice {correlation:.2f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
