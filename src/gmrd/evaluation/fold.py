"""Scoring a trained network on the test cases of a fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from gmrd.checkpoint.record import record_of
from gmrd.data.split import EvaluationCase, Split
from gmrd.errors import InputError
from gmrd.evaluation.about import about, decided_by, steps_taken
from gmrd.evaluation.evaluator import Evaluator
from gmrd.evaluation.names import written
from gmrd.evaluation.predictions import (
    Probabilities,
    prediction_path,
    save_prediction,
)
from gmrd.evaluation.scores import ScoredCase, per_organ, rich_table, write_scores
from gmrd.evaluation.settings import EvaluationSettings
from gmrd.inference import label_map
from gmrd.module import GMRDModule, network_of
from gmrd.nn.prototype import PrototypeMatching
from gmrd.viz.pictures import side_by_side

TRAINED = "GMRD"

NAMED = ("dice", "iou", "hd95", "assd")
"""Scores that are logged as metrics."""

console = Console()


Watch = Callable[[EvaluationCase, NDArray[np.uint8], list[ScoredCase]], None]
"""Called with every case, the trained network's label map and all scores."""


def score_fold(
    module: GMRDModule,
    split: Split,
    settings: EvaluationSettings,
    output_dir: Path,
    *,
    steps: int | None,
    selected: str = "last",
    watch: Watch | None = None,
    n_cases: int | None = None,
    show_progress: bool = True,
) -> dict[str, float]:
    """Score a module on the fold of a split; print, write and return the scores.

    Under ``output_dir`` there will be ``scores.csv``, ``summary.json``, a picture of each query
    case and, if the settings ask for them, the scored mask of every organ as NIfTI.

    Args:
        module: the trained network, loaded or just trained.
        split: whose test cases are scored.
        settings: of the evaluation.
        output_dir: where scores, pictures and predictions go.
        steps: number of training steps; None if unknown.
        selected: ``last``, or ``best`` for the weights with the best validation.
        watch: called for every case.
        n_cases: score at most this many cases, for a test run.
        show_progress: show a progress bar.
    """
    with Progress(console=console, disable=not show_progress) as bar:
        scores = _score_cases(module, split, settings, output_dir, watch, n_cases, bar)
    taken = steps_taken(steps, record_of(module), selected)
    conditions = about(module, split, settings, taken)
    write_scores(scores, output_dir, about=conditions, decided_by=decided_by(module, split))
    console.print(rich_table(scores, ", ".join(f"{k} {v}" for k, v in conditions.items())))
    console.out(f"Scores, pictures and predictions: {output_dir}")
    return _metrics(scores)


def _score_cases(
    module: GMRDModule,
    split: Split,
    settings: EvaluationSettings,
    output_dir: Path,
    watch: Watch | None,
    n_cases: int | None,
    bar: Progress,
) -> list[ScoredCase]:
    queries = bar.add_task("Scoring cases", total=len(split.evaluation_plan()[:n_cases]))
    tuning = bar.add_task("Tuning", visible=False)

    def show(step: str, done: int, total: int) -> None:
        bar.update(tuning, description=step, completed=done, total=total, visible=done < total)

    evaluator = Evaluator(split.classes, settings, progress=show)
    methods = _methods(module, with_baselines=settings.baselines)
    for network in methods.values():
        network.eval().to(evaluator.device)
    scores: list[ScoredCase] = []
    found = evaluator.score(methods, islice(split.evaluation_cases(), n_cases))
    for case, by_method, of_case in found:
        scores += of_case
        bar.advance(queries)
        labels = label_map(by_method[TRAINED])
        if watch is not None:
            watch(case, labels, of_case)
        if settings.save_predictions:
            _save_masks(output_dir, case, by_method[TRAINED], split.classes)
        _draw(output_dir, case, labels, split)
    return scores


def _save_masks(
    folder: Path, case: EvaluationCase, found: Probabilities, classes: Mapping[int, str]
) -> None:
    for class_id, probability in found.items():
        path = prediction_path(folder, case.query.case_id, classes[class_id])
        save_prediction(path, case.query, probability)


def _draw(folder: Path, case: EvaluationCase, labels: NDArray[np.uint8], split: Split) -> None:
    assert case.query.label is not None  # the evaluator has scored it
    side_by_side(
        folder / "pictures" / f"case_{case.query.case_id}.png",
        case.query.image,
        {"truth": case.query.label, "prediction": labels},
        {class_id: split.classes[class_id] for class_id in case.supports},
        title=f"{split.name}, case {case.query.case_id}",
    )


def _metrics(scores: Sequence[ScoredCase]) -> dict[str, float]:
    """Scores of the trained network by organ, and their mean; undefined ones are omitted."""
    trained = [score for score in scores if score.method == TRAINED]
    found = {name: per_organ(trained, name) for name in NAMED}
    return {
        f"test/{name}" if organ == "mean" else f"test/{name}_{written(organ)}": value
        for name, by_organ in found.items()
        for organ, value in by_organ.items()
        if name in ("dice", "iou") or not np.isnan(value)
    }


def _methods(module: GMRDModule, *, with_baselines: bool) -> dict[str, Any]:
    """The trained network and the baselines."""
    methods: dict[str, Any] = {TRAINED: module.network}
    if with_baselines:
        methods["the same, untrained"] = _untrained(module)
        methods["one prototype"] = PrototypeMatching(
            module.network.encoder, image_size=module.network.image_size
        )
    return methods


def _untrained(module: GMRDModule) -> torch.nn.Module:
    """The network before training, with pretrained weights if it had any.

    Raises:
        InputError: the pretrained weights are not available.
    """
    record = record_of(module)
    settings = dict(module.hparams["network"])
    if record is not None:  # a module that was loaded has forgotten them
        settings["pretrained"] = record.pretrained
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(module.hparams["seed"]))
        try:
            return network_of(settings)
        except InputError as error:
            raise InputError(f"{error}; or omit the untrained network: baselines=false") from error
