"""Does the suggested scan help more than a random one? Dice of the rest on CHAOST2.

    python bench/loop.py --root CHAOST2                # every fold's last case as the first support
    python bench/loop.py --root CHAOST2 --starts 1 --repeats 1 --added 1 2

Every pair of a scan and a support is matched once and kept in ``--out``, so a run that was stopped
goes on.

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
from gmrd.predict.store import SupportStore
from gmrd.predict.triage import next_to_annotate

ORGANS = {1: "liver", 2: "right_kidney", 3: "left_kidney", 4: "spleen"}
MOST_BYTES = 20 * 10**9
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


class Bench:
    """Segments all scans but the annotated ones, from any of them.

    Attributes:
        pairs: scans with their truth by case.
        store: keeps what each support found.
        added: numbers of added supports to score after.
    """

    def __init__(self, pairs: dict[str, Pair], store: SupportStore, added: list[int]) -> None:
        self.pairs, self.store, self.added = pairs, store, [0, *added]

    def segmented(self, supports: list[str]) -> dict[str, gmrd.Segmentation]:
        annotated = [self.pairs[case] for case in supports]
        predictor = gmrd.Predictor(annotated, names=ORGANS, store=self.store)
        return {case: predictor(self.pairs[case][0]) for case in self.pairs if case not in supports}

    def scores(self, found: dict[str, gmrd.Segmentation]) -> dict[str, float]:
        return {case: dice(result, self.pairs[case][1]) for case, result in found.items()}

    def suggested(self, start: str) -> tuple[list[str], dict[int, dict[str, float]]]:
        """The order in which scans are suggested, and the Dice by case and number added."""
        supports, scores = [start], {}
        for added in range(max(self.added) + 1):
            found = self.segmented(supports)
            if added in self.added:
                scores[added] = self.scores(found)
            records = [
                record(result) | {"name": case, "status": "done"} for case, result in found.items()
            ]
            chosen = next_to_annotate(records)
            assert chosen is not None
            supports.append(chosen["name"])
        return supports[:-1], scores

    def in_order(self, supports: list[str]) -> dict[int, dict[str, float]]:
        """The Dice by case and number added of a given order."""
        return {n: self.scores(self.segmented(supports[: n + 1])) for n in self.added}


def dice(found: gmrd.Segmentation, truth: np.ndarray) -> float:
    scores = [overlap_scores(found.labels == v, truth == v).dice for v in ORGANS]
    return float(np.mean(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2, help="random sequences of every start")
    parser.add_argument("--added", type=int, nargs="+", default=[1, 2, 3, 5])
    parser.add_argument("--out", type=Path, default=Path("loop_pairs"), help="folder of the pairs")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pairs = read(arguments.root)
    bench = Bench(pairs, SupportStore(arguments.out, most_bytes=MOST_BYTES), arguments.added)
    means: list[tuple[int, float, float]] = []
    for fold in range(arguments.starts):
        begin = time.process_time()
        start = fold_cases(list(pairs), fold)[-1]
        order, by_rule = bench.suggested(start)
        for repeat in range(arguments.repeats):
            others = [case for case in pairs if case != start]
            drawn = [start, *np.random.default_rng([fold, repeat]).permutation(others).tolist()]
            by_chance = bench.in_order(drawn[: max(bench.added) + 1])
            rest = set(pairs) - set(order) - set(drawn[: max(bench.added) + 1])
            for added in bench.added:
                pair = [np.mean([s[added][c] for c in rest]) for s in (by_rule, by_chance)]
                means.append((added, *map(float, pair)))
            print(f"suggested {order}, random {drawn[: max(bench.added) + 1]}: {len(rest)} others")
        print(f"from {start}: CPU {time.process_time() - begin:.0f} s")
        report(means)


def report(means: list[tuple[int, float, float]]) -> None:
    """Per cent over all starts and repeats so far."""
    print("added  suggested  random")
    for added in sorted({row[0] for row in means}):
        rule, chance = 100 * np.mean([row[1:] for row in means if row[0] == added], axis=0)
        print(f"{added:>5} {rule:>10.1f} {chance:>7.1f}", flush=True)


if __name__ == "__main__":
    main()
