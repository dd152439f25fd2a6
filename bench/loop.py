"""Does the suggested scan help more than a random one? Dice of the rest on CHAOST2.

    python bench/loop.py --root CHAOST2                # every fold's last case as the first support
    python bench/loop.py --root CHAOST2 --starts 1 --repeats 1

From one annotated scan, the suggested next one is added with its truth, again and again; beside it
random ones are. The Dice is the mean over all scans that are never annotated in either sequence,
so that the numbers of a start are of the same scans.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

import gmrd
from gmrd.data.protocol import fold_cases
from gmrd.evaluation.metrics import overlap_scores
from gmrd.io.readers import read_label, read_scan
from gmrd.io.scan import Scan
from gmrd.predict.outputs import record
from gmrd.predict.triage import next_to_annotate

ORGANS = {1: "liver", 2: "right_kidney", 3: "left_kidney", 4: "spleen"}
ADDED = (0, 1, 2, 3, 5)
Pair = tuple[Scan, np.ndarray]


def read(root: Path) -> dict[str, Pair]:
    """Scans with their truth by case."""
    folder = root / "chaos_MR_T2_normalized"
    pairs = {}
    for file in folder.glob("image_*.nii.gz"):
        case = file.name.split("_")[1].split(".")[0]
        scan = read_scan(file)
        pairs[case] = (scan, read_label(folder / f"label_{case}.nii.gz", scan))
    return {case: pairs[case] for case in sorted(pairs, key=int)}


def segmented(pairs: dict[str, Pair], supports: list[str]) -> dict[str, gmrd.Segmentation]:
    predictor = gmrd.Predictor([pairs[case] for case in supports], names=ORGANS)
    return {case: predictor(pairs[case][0]) for case in pairs if case not in supports}


def suggested(pairs: dict[str, Pair], start: str) -> tuple[list[str], dict[int, dict[str, float]]]:
    """The order in which scans are suggested, and the mean Dice by case after each of ADDED."""
    supports, scores = [start], {}
    for added in range(max(ADDED) + 1):
        found = segmented(pairs, supports)
        if added in ADDED:
            scores[added] = {case: dice(found[case], pairs[case][1]) for case in found}
        records = [record(result) | {"name": c, "status": "done"} for c, result in found.items()]
        chosen = next_to_annotate(records)
        assert chosen is not None
        supports.append(chosen["name"])
    return supports[:-1], scores


def at_random(pairs: dict[str, Pair], order: list[str]) -> dict[int, dict[str, float]]:
    scores = {}
    for added in ADDED[1:]:
        found = segmented(pairs, order[: added + 1])
        scores[added] = {case: dice(found[case], pairs[case][1]) for case in found}
    return scores


def dice(found: gmrd.Segmentation, truth: np.ndarray) -> float:
    scores = [overlap_scores(found.labels == v, truth == v).dice for v in ORGANS]
    return float(np.mean(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2, help="random sequences of every start")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pairs = read(arguments.root)
    means: list[tuple[int, float, float]] = []
    for fold in range(arguments.starts):
        begin = time.process_time()
        start = fold_cases(list(pairs), fold)[-1]
        order, by_rule = suggested(pairs, start)
        for repeat in range(arguments.repeats):
            others = [case for case in pairs if case != start]
            drawn = [start, *np.random.default_rng([fold, repeat]).permutation(others)]
            by_chance = at_random(pairs, drawn) | {0: by_rule[0]}
            rest = set(pairs) - set(order) - set(drawn[: max(ADDED) + 1])
            for added in ADDED:
                pair = [np.mean([s[added][c] for c in rest]) for s in (by_rule, by_chance)]
                means.append((added, *map(float, pair)))
        print(f"from {start}: suggested {order[1:]}; CPU {time.process_time() - begin:.0f} s")
        report(means)


def report(means: list[tuple[int, float, float]]) -> None:
    """Per cent over all starts and repeats so far."""
    print("added  suggested  random")
    for added in ADDED:
        rule, chance = 100 * np.mean([row[1:] for row in means if row[0] == added], axis=0)
        print(f"{added:>5} {rule:>10.1f} {chance:>7.1f}", flush=True)


if __name__ == "__main__":
    main()
