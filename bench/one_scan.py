"""One annotated scan in, nothing trained: every figure on CHAOST2 that the documentation gives.

    python bench/one_scan.py --root CHAOST2                  # the 20 pairs of the five folds
    python bench/one_scan.py --root CHAOST2 --what matching three_slices --folds 0 1
    python bench/one_scan.py --root CHAOST2 --what all_pairs --limit 4

The last case of a fold is its support. Results are added to ``--out``, a line for every organ, and
what lies there is not computed again, so a run that was stopped goes on and the tables at the end
are of all that was measured.

What can be measured (``--what``):

- ``matching``: as installed. Nothing is known of the query; "extent known" leaves out what was
  found on slices beyond the organ's true first and last.
- ``three_slices``: the field's protocol. Three slices of an organ are annotated, and the query's
  first and last slice with the organ are known.
- ``cropped``: each organ by itself, in scans cropped to 15 to 35 mm around it, drawn once.
- ``adapt_N``: the matching tuned on the annotated scan by N steps.
- ``without_NAME``: an ingredient taken away, see ``ABLATIONS``.
- ``shots_1``, ``shots_2``, ``shots_3``: K annotated scans, the fold's last K cases, on its first
  two.
- ``transfer``, ``simpleitk``: the label carried by the affine part of our alignment, and by
  SimpleITK's affine registration of intensities (Mattes mutual information).
- ``phantom``: the small network of the second notebook, which was trained on phantoms.
- ``all_pairs``: the 380 ordered pairs, by supports in an order drawn once.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy import ndimage
from scipy.special import ndtr
from torch import nn

import gmrd
from gmrd.data.protocol import fold_cases, slices_of, support_slices
from gmrd.evaluation.metrics import overlap_scores
from gmrd.io.readers import read_label, read_scan
from gmrd.io.scan import Scan
from gmrd.matching import regions
from gmrd.matching.alignment import Alignment, transformed
from gmrd.matching.dense import Annotated, Evidence, carry_labels, carry_organs
from gmrd.matching.edges import follow_edges
from gmrd.matching.labels import THRESHOLD
from gmrd.matching.scan import WorkingScan
from gmrd.matching.segmenter import (
    FOUND,
    REGION_WEIGHT,
    REGISTERED_REGION_WEIGHT,
    SHAPE_WEIGHT,
    MatchingSupport,
    enlarged,
    led_astray,
    prior,
)
from gmrd.matching.shape import Shapes, register_organs, registered_shapes
from gmrd.matching.tokens import TokenGrid
from gmrd.predict.options import Options

ORGANS = {1: "liver", 2: "right_kidney", 3: "left_kidney", 4: "spleen"}
NO_ESTIMATES = dict.fromkeys(ORGANS.values(), float("nan"))
PHANTOM_NETWORK = Path(__file__).parents[1] / "notebooks" / "phantom.pt"
CHOSEN_ON = (0, 1)
"""Folds that settings are chosen on."""

ABLATIONS: dict[str, dict[str, object]] = {
    "ranks": {"gmrd.predict.frame.ranks": lambda image, body: ndtr(standardised(image, body))},
    "scale": {"gmrd.matching.segmenter.on_scale_of": lambda support, query, *_: query.ranks},
    "field": {"gmrd.matching.alignment.FIELD_ROUNDS": ()},
    "second_look": {
        "gmrd.matching.scan.WorkingScan.fine": lambda scan, *args: blown_up(scan, *args)
    },
    "own_places": {"gmrd.matching.segmenter.led_astray": lambda before, _: before is not None},
    "location": {
        "gmrd.matching.segmenter.locate": lambda _, support, alignment: (
            (alignment,) * support.shares.shape[-1]
        )
    },
    "scaling": {
        "gmrd.matching.segmenter.local_scaling": lambda _, support: torch.ones(
            support.shares.shape[-1]
        )
    },
    "edges": {"gmrd.matching.segmenter.follow_edges": lambda probability, _: probability},
    "regions": {
        "gmrd.matching.regions.Regions.vote": lambda regions, probability, weight: probability
    },
    "shapes": {"gmrd.matching.segmenter.SHAPE_WEIGHT": 0.0},
    "way_back": {"gmrd.predict.by_matching.evident_pieces": lambda mask, p: greatest(mask)},
}


def standardised(image: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1 within the body."""
    inside = image[body]
    return ((image - inside.mean()) / inside.std()).astype(np.float32) * body


def greatest(mask: np.ndarray) -> list[np.ndarray]:
    """The largest piece alone."""
    pieces, n_pieces = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    return [pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()] if n_pieces else []


def blown_up(scan: WorkingScan, encoder: nn.Module, slices: torch.Tensor, *_: object) -> TokenGrid:
    """The coarse tokens on fine cells."""
    coarse = scan.coarse(encoder).at(slices)

    def twice(values: torch.Tensor) -> torch.Tensor:
        return values.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)

    return TokenGrid(twice(coarse.tokens), twice(coarse.body), coarse.heights, coarse.cell / 2)


@dataclass(frozen=True)
class Row:
    """An organ of a pair: Dice, Dice with the extent known, the estimate, and the query's CPU."""

    what: str
    fold: int
    supports: tuple[str, ...]
    query: str
    organ: str
    dice: float
    known: float
    estimate: float
    seconds: float


Found = Callable[[Scan, np.ndarray], tuple[dict[str, np.ndarray], dict[str, float]]]
"""From a query and its truth, at which only ``three_slices`` and ``cropped`` look, to masks and
estimates."""


def files(root: Path, case: str) -> tuple[Path, Path]:
    folder = root / "chaos_MR_T2_normalized"
    return folder / f"image_{case}.nii.gz", folder / f"label_{case}.nii.gz"


def predictor(
    root: Path, supports: Sequence[str], checkpoint: Path | None = None, **options: Any
) -> Found:
    made = gmrd.Predictor(
        [files(root, case) for case in supports],
        names=ORGANS,
        checkpoint=checkpoint,
        options=Options(**options),
    )

    def found(scan: Scan, _: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        result = made(scan)
        masks = {organ: result.labels == value for value, organ in ORGANS.items()}
        return masks, dict(result.quality)

    return found


def three_slices(root: Path, supports: Sequence[str]) -> Found:
    """Each organ by itself, from three of its slices; slices lie by their place in the extent."""
    made = gmrd.Predictor([files(root, case) for case in supports], names=ORGANS)
    (support,) = made.matching.supports

    def found(scan: Scan, truth: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        query = made.matching.place(scan)
        (placed,), masks = query.placed, {}
        deviations = prior(placed.scan.spacing[1])
        for organ, (value, name) in enumerate(ORGANS.items()):
            true = query.grid.slices((truth == value).astype(np.float32)) > 0.5
            annotated = support_slices(support.masks[:, organ] > 0.5)
            heights = support.scan.heights[annotated]
            slices = torch.from_numpy(slices_of(true))
            # From a slice's place in the extent to a height, through 1/6, 1/2 and 5/6.
            slope = (heights[2] - heights[0]) / (4 / 6)
            alignment = at_heights(
                placed.alignment,
                placed.scan.heights[slices],
                float(heights[1]),
                float(slope),
            )
            looks = []
            for cells, grid in (
                (support.coarse, placed.coarse.at(slices)),
                (support.fine, placed.on_scale.fine(support.encoder, slices)),
            ):
                kept = torch.stack([(cells.grid.heights - h).abs().argmin() for h in heights])
                shown = Annotated(cells.grid.at(kept), cells.shares[kept][..., organ : organ + 1])
                expected = alignment.of(grid, slices.tolist())
                looks.append(carry_labels(grid, grid.body, shown, expected, deviations))
            coarse = enlarged(looks[0].probability, true.shape[1:])

            def on_pixels(
                evidence: Evidence, slices: torch.Tensor = slices, coarse: torch.Tensor = coarse,
                shape: tuple[int, ...] = true.shape,
            ) -> torch.Tensor:  # fmt: skip
                probability = torch.zeros(shape[0], 1, *shape[1:])
                fine = enlarged(evidence.probability, shape[1:])
                probability[slices] = torch.where(coarse > FOUND, fine, 0.0)
                return probability

            probability = on_pixels(looks[1])
            by_region = regions.Regions(
                placed.scan.ranks, (probability > regions.ACTIVE)[:, 0].numpy(),
                placed.scan.spacing, support.smallest_ml,
            )  # fmt: skip
            three = Shapes(between(support, organ, annotated, float(slope)), support.scan.spacing)
            where = placed.scan.heights, placed.scan.spacing[1], three, [alignment]

            def voted(
                probability: torch.Tensor, by_region: regions.Regions = by_region
            ) -> torch.Tensor:
                found = by_region.vote(probability.numpy().copy(), REGISTERED_REGION_WEIGHT)
                return torch.from_numpy(found)

            fits = register_organs(voted(probability), *where)
            if fits[0] is not None:
                places = fits[0].positions(expected)
                places[..., 0] = expected[..., 0]
                moved = on_pixels(
                    carry_organs(looks[1], grid, grid.body, shown, {0: places}, deviations)
                )
                again = register_organs(voted(moved), *where)
                if not led_astray(fits[0], again[0]):
                    probability, fits = moved, again
            shapes = registered_shapes(voted(probability), fits, *where)
            mixed = (1 - SHAPE_WEIGHT) * probability + SHAPE_WEIGHT * shapes
            followed = follow_edges(mixed, torch.from_numpy(placed.scan.ranks)).numpy()
            decided = by_region.vote(followed, REGION_WEIGHT)
            mask = query.grid.scan(np.ascontiguousarray(decided[:, 0])) > THRESHOLD
            inside = np.zeros(len(mask), dtype=bool)
            inside[slices_of(truth == value)] = True
            masks[name] = mask & inside[:, None, None]
        return masks, NO_ESTIMATES

    return found


def at_heights(
    alignment: Alignment, heights: torch.Tensor, middle: float, extent: float
) -> Alignment:
    """The alignment with an organ's slices laid along its extent in the support.

    Args:
        alignment: its rows within a slice are kept.
        heights: of the query's slices with the organ, in mm.
        middle: height of the organ's middle in the support, in mm.
        extent: of the organ in the support, in mm; negative where it runs the other way.
    """
    step = float(heights[1] - heights[0]) if len(heights) > 1 else 1.0
    scale = extent / (len(heights) * step)
    offset = middle - scale * float(heights[0] + heights[-1]) / 2
    matrix = torch.cat([torch.tensor([[scale, 0.0, 0.0, offset]]), alignment.matrix[1:]])
    field = alignment.field.clone()
    field[..., 0] = 0
    return replace(alignment, matrix=matrix, field=field)


def between(
    support: MatchingSupport, organ: int, annotated: np.ndarray, extent: float
) -> torch.Tensor:
    """An organ's masks on all slices from three of them: blended between, kept up to its ends."""
    heights = support.scan.heights.numpy()
    shown = heights[annotated]
    given = support.masks[annotated, organ]
    ends = sorted((shown[0] - extent / 6, shown[-1] + extent / 6))
    masks = np.zeros((len(heights), 1, *given.shape[1:]), np.float32)
    for z in np.flatnonzero((heights >= ends[0]) & (heights <= ends[1])):
        place = np.interp(heights[z], shown, np.arange(3))
        low = min(int(place), 1)
        masks[z, 0] = (1 - place + low) * given[low] + (place - low) * given[low + 1]
    return torch.from_numpy(masks)


def cropped(root: Path, supports: Sequence[str]) -> Found:
    """Each organ by itself, in scans cropped to 15 to 35 mm around it on each side."""

    def around(scan: Scan, mask: np.ndarray) -> tuple[Scan, tuple[slice, ...]]:
        draw = random.Random(scan.name)
        held = [np.flatnonzero(mask.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
        margins = [[round(draw.uniform(15, 35) / mm) for _ in "ab"] for mm in scan.spacing]
        part = tuple(
            slice(max(0, int(inside[0]) - before), int(inside[-1]) + 1 + after)
            for inside, (before, after) in zip(held, margins, strict=True)
        )
        affine = scan.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ [piece.start for piece in reversed(part)]
        return Scan(scan.name, np.ascontiguousarray(scan.image[part]), affine), part

    image, label = files(root, supports[0])
    support = read_scan(image)
    annotated, made = read_label(label, support), {}
    for value, organ in ORGANS.items():
        scan, part = around(support, annotated == value)
        made[value] = gmrd.Predictor(
            [(scan, (annotated[part] == value).astype(np.uint8))], names={1: organ}
        )

    def found(scan: Scan, truth: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        masks, estimates = {}, {}
        for value, organ in ORGANS.items():
            query, part = around(scan, truth == value)
            result = made[value](query)
            masks[organ] = np.zeros(truth.shape, dtype=bool)
            masks[organ][part] = result.labels > 0
            estimates |= result.quality
        return masks, estimates

    return found


def transfer(root: Path, supports: Sequence[str]) -> Found:
    """The annotation laid over the query by the alignment's affine part."""
    made = gmrd.Predictor([files(root, case) for case in supports], names=ORGANS)
    (support,) = made.matching.supports

    def found(scan: Scan, _: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        query = made.matching.place(scan)
        (placed,) = query.placed
        ranks = placed.scan.ranks
        _, y, x = placed.scan.spacing
        rows, columns = (
            (torch.arange(n) + 0.5) * mm for n, mm in zip(ranks.shape[1:], (y, x), strict=True)
        )
        heights = placed.scan.heights
        here = torch.stack(torch.meshgrid(heights, rows, columns, indexing="ij"), dim=-1)
        there = transformed(placed.alignment.matrix, here)
        places = (there / torch.tensor(support.scan.spacing) - torch.tensor([0, 0.5, 0.5])).numpy()
        masks = {}
        for organ, name in enumerate(ORGANS.values()):
            carried = ndimage.map_coordinates(
                support.masks[:, organ], np.moveaxis(places, -1, 0), order=1
            )
            masks[name] = query.grid.scan(carried) > 0.5
        return masks, NO_ESTIMATES

    return found


def simpleitk(root: Path, supports: Sequence[str]) -> Found:
    """The annotation laid over the query by SimpleITK's affine registration of intensities."""
    import SimpleITK as sitk  # noqa: N813

    image, label = files(root, supports[0])
    support = read_scan(image)

    def as_image(array: np.ndarray, scan: Scan) -> sitk.Image:
        made = sitk.GetImageFromArray(array.astype(np.float32))
        made.SetSpacing(scan.spacing[::-1])
        return made

    moving = as_image(support.image, support)
    annotated = as_image(read_label(label, support), support)

    def found(scan: Scan, _: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        fixed = as_image(scan.image, scan)
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(50)
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(0.1)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsGradientDescent(1.0, 200)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel([4, 2, 1])
        method.SetSmoothingSigmasPerLevel([2, 1, 0])
        start = sitk.CenteredTransformInitializer(fixed, moving, sitk.AffineTransform(3))
        method.SetInitialTransform(start, inPlace=False)
        moved = sitk.Resample(
            annotated, fixed, method.Execute(fixed, moving), sitk.sitkNearestNeighbor
        )
        labels = sitk.GetArrayFromImage(moved).round()
        masks = {organ: labels == value for value, organ in ORGANS.items()}
        return masks, NO_ESTIMATES

    return found


def phantom(root: Path, supports: Sequence[str]) -> Found:
    return predictor(root, supports, PHANTOM_NETWORK)


def pairs(
    what: str, cases: Sequence[str], folds: Sequence[int]
) -> Iterator[tuple[int, tuple[str, ...], tuple[str, ...]]]:
    """(fold, supports, queries); fold -1 where there are no folds."""
    if what == "all_pairs":
        for support in random.Random(0).sample(cases, len(cases)):
            yield -1, (support,), tuple(case for case in cases if case != support)
        return
    for fold in folds:
        members = tuple(fold_cases(cases, fold))
        if what.startswith("shots_"):
            yield fold, members[-int(what[-1]) :], members[:2]
        else:
            yield fold, members[-1:], members[:-1]


def measure(what: str, root: Path, supports: Sequence[str]) -> Found:
    made = {
        "three_slices": three_slices, "cropped": cropped, "transfer": transfer,
        "simpleitk": simpleitk, "phantom": phantom,
    }  # fmt: skip
    if what.startswith("adapt_"):
        return predictor(root, supports, adapt=int(what.removeprefix("adapt_")))
    return made.get(what, predictor)(root, supports)


def within_extent(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    held = np.flatnonzero(true.any(axis=(1, 2)))
    inside = np.zeros(len(true), dtype=bool)
    inside[held[0] : held[-1] + 1] = True
    return found & inside[:, None, None]


def run(what: str, root: Path, folds: Sequence[int], limit: int, out: Path, done: set) -> None:
    cases = sorted(
        (
            file.name.split("_")[1].split(".")[0]
            for file in files(root, "*")[0].parent.glob("image_*")
        ),
        key=int,
    )
    for fold, supports, queries in itertools.islice(pairs(what, cases, folds), limit):
        todo = [query for query in queries if (what, supports, query) not in done]
        if not todo:
            continue
        with ExitStack() as stack:
            for target, value in ABLATIONS.get(what.removeprefix("without_"), {}).items():
                stack.enter_context(patch(target, value))
            find = measure(what, root, supports)
            for query in todo:
                image, label = files(root, query)
                scan = read_scan(image)
                truth = read_label(label, scan)
                start = time.process_time()
                masks, estimates = find(scan, truth)
                seconds = time.process_time() - start
                rows = []
                for value, organ in ORGANS.items():
                    true = truth == value
                    dice = overlap_scores(masks[organ], true).dice
                    known = overlap_scores(within_extent(masks[organ], true), true).dice
                    rows.append(
                        Row(what, fold, tuple(supports), query, organ, dice, known,
                            estimates[organ], seconds)
                    )  # fmt: skip
                with out.open("a") as file:
                    file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)
                scores = " ".join(f"{row.organ} {100 * row.dice:.1f}" for row in rows)
                print(f"{what}, {'+'.join(supports)} to {query}: {scores}; CPU {seconds:.0f} s",
                      flush=True)  # fmt: skip


def report(rows: Sequence[Row]) -> None:
    """Means in per cent, a line for everything that was measured."""
    table = Table("", "n", "mean", *ORGANS.values(), "fold 0", "1", "2", "3", "4", "2 to 4",
                  "extent known", "5th percentile", "worst", "CPU s")  # fmt: skip
    for what in dict.fromkeys(row.what for row in rows):
        chosen = [row for row in rows if row.what == what]
        dice = np.array([row.dice for row in chosen])
        folds = np.array([row.fold for row in chosen])
        table.add_row(
            what,
            str(len(chosen) // len(ORGANS)),
            *map(percent, [
                dice,
                *(dice[[row.organ == organ for row in chosen]] for organ in ORGANS.values()),
                *(dice[folds == fold] for fold in range(5)),
                dice[folds > max(CHOSEN_ON)],
                np.array([row.known for row in chosen]),
            ]),
            f"{100 * np.percentile(dice, 5):.1f}", f"{100 * dice.min():.1f}",
            f"{np.mean([row.seconds for row in chosen]):.0f}",
        )  # fmt: skip
    Console(width=170).print(table)
    for what in ("matching", "all_pairs"):
        judge([row for row in rows if row.what == what and not np.isnan(row.estimate)], what)


def percent(values: np.ndarray) -> str:
    return f"{100 * values.mean():.1f}" if len(values) else ""


def judge(rows: Sequence[Row], what: str) -> None:
    """How the estimate goes with the truth."""
    if len(rows) < len(ORGANS):
        return
    dice, estimate = (np.array([getattr(row, key) for row in rows]) for key in ("dice", "estimate"))
    poor, flagged = dice < 0.5, estimate < 0.5
    print(
        f"{what}: estimated and true Dice correlate by {np.corrcoef(dice, estimate)[0, 1]:.2f}; of "
        f"{poor.sum()} organs below 50, {(poor & flagged).sum()} are flagged, with "
        f"{(flagged & ~poor).sum()} others of {len(rows)}; mean error "
        f"{100 * np.abs(dice - estimate).mean():.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--what", nargs="+", default=["matching"])
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--limit", type=int, default=10**6, help="supports of all_pairs, at most")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("one_scan.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for what in arguments.what:
        done = {(row.what, row.supports, row.query) for row in read(arguments.out)}
        run(what, arguments.root, arguments.folds, arguments.limit, arguments.out, done)
    report(read(arguments.out))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def read(out: Path) -> list[Row]:
    lines = out.read_text().splitlines() if out.is_file() else []
    rows = [Row(**json.loads(line)) for line in lines]
    return [replace(row, supports=tuple(row.supports)) for row in rows]


if __name__ == "__main__":
    main()
