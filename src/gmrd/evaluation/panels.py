"""The best, median and worst case of every organ: chosen, read and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray
from omegaconf import OmegaConf

from gmrd.data.build import plain, read_split
from gmrd.data.split import Split
from gmrd.evaluation.crossvalidation import FinishedRun
from gmrd.evaluation.names import spoken
from gmrd.evaluation.predictions import prediction_path
from gmrd.evaluation.scores import ScoredCase
from gmrd.io.orientation import UPRIGHT, reorient, reoriented_spacing
from gmrd.io.readers import read_scan
from gmrd.viz.pictures import grey_range

RANKS = ("best", "median", "worst")

OUTLINES = {"truth": ("#56B4E9", "solid"), "prediction": ("#E69F00", "dashed")}


@dataclass(frozen=True)
class Panel:
    """A picture of a case: the slice with most of the organ, with truth and prediction.

    ``aspect`` is the height of a pixel divided by its width.
    """

    title: str
    image: NDArray[np.floating]
    truth: NDArray[np.bool_]
    prediction: NDArray[np.bool_]
    aspect: float


def ranked(runs: Sequence[FinishedRun], organ: str) -> dict[str, tuple[FinishedRun, ScoredCase]]:
    """The best, median (the lower of two) and worst case by Dice, of the first seed."""
    seed = min(run.place[0] for run in runs)
    pairs = [
        (run, case)
        for run in runs
        if run.place[0] == seed
        for case in run.cases
        if case.organ == organ and not np.isnan(case.score.dice)
    ]
    pairs.sort(key=lambda pair: -pair[1].score.dice)
    return dict(zip(RANKS, (pairs[0], pairs[len(pairs) // 2], pairs[-1]), strict=True))


def panel(
    title: str,
    image: NDArray[np.floating],
    truth: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    affine: NDArray[np.floating],
) -> Panel:
    """Choose the slice of a (z, y, x) case; ``affine`` is nibabel's, of the (x, y, z) array."""
    # Upright, but with the numbers of axial slices unchanged.
    codes = UPRIGHT if "S" in aff2axcodes(affine) else UPRIGHT.replace("S", "I")
    shown = [reorient(volume, affine, codes) for volume in (image, truth, prediction)]
    _, height, width = reoriented_spacing(affine, codes)
    z = int(shown[1].sum(axis=(1, 2)).argmax())
    pixels, organ, found = (volume[z] for volume in shown)
    return Panel(f"{title}, z = {z}", pixels, organ, found, aspect=height / width)


def cases_figure(panels: Mapping[str, Sequence[Panel]], title: str) -> Figure:
    """Organs in rows; best, median and worst in columns; truth solid, prediction dashed."""
    figure = Figure(figsize=(9.6, 3.4 * len(panels) + 0.9), layout="constrained")
    axes = figure.subplots(len(panels), len(RANKS), squeeze=False)
    for row, shown in zip(axes, panels.values(), strict=True):
        for axis, found in zip(row, shown, strict=True):
            _draw(axis, found)
    figure.suptitle(fill(title, 120), fontsize=9)
    lines = [Line2D([], [], color=colour, linestyle=style) for colour, style in OUTLINES.values()]
    figure.legend(lines, list(OUTLINES), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw(axis: Axes, found: Panel) -> None:
    low, high = grey_range(found.image)
    axis.imshow(found.image, cmap="gray", vmin=low, vmax=high, aspect=found.aspect)
    masks = (found.truth, found.prediction)
    for mask, (colour, style) in zip(masks, OUTLINES.values(), strict=True):
        if mask.any():
            axis.contour(mask, [0.5], colors=colour, linestyles=style, linewidths=1.3)
    axis.set_title(found.title, fontsize=8)
    axis.set_axis_off()


def panels_of(runs: list[FinishedRun]) -> dict[str, list[Panel]]:
    """The best, median and worst case of every organ that has predictions."""
    organs = dict.fromkeys(case.organ for run in runs for case in run.cases)
    data_of = cache(_scored_data)
    found = {
        organ: [
            _panel(data_of(run.folder), run, case, f"{spoken(organ)}, {rank}: case {case.case_id}")
            for rank, (run, case) in ranked(runs, organ).items()
            if _prediction(run, case).is_file()
        ]
        for organ in organs
    }
    return {organ: panels for organ, panels in found.items() if len(panels) == 3}


def _prediction(run: FinishedRun, case: ScoredCase) -> Path:
    return prediction_path(run.folder, case.case_id, case.organ)


def _scored_data(folder: Path) -> Split:
    """The data on which a run was scored."""
    cfg: Any = OmegaConf.load(folder / "config.yaml")
    return read_split(plain(cfg.get("evaluation_data") or cfg.data))


def _panel(split: Split, run: FinishedRun, case: ScoredCase, title: str) -> Panel:
    query = next(found for found in split.test_cases if found.case_id == case.case_id)
    volume = split.data.volume(query)
    class_id = next(key for key, name in split.classes.items() if name == case.organ)
    prediction = read_scan(_prediction(run, case)).image
    title = f"{title}\nDice {100 * case.score.dice:.1f}"
    return panel(title, volume.image, volume.mask(class_id), prediction > 0, volume.affine)
