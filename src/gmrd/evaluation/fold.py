"""A trained network scored on the held-out cases of a fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track

from gmrd.data.datamodule import EpisodeDataModule
from gmrd.errors import InputError
from gmrd.evaluation.evaluator import (
    EvaluationCase,
    Evaluator,
    as_label_map,
    prediction_path,
    save_prediction,
)
from gmrd.evaluation.scores import ScoredCase, per_organ, rich_table, write_scores
from gmrd.inference import choose_device
from gmrd.module import GMRDModule
from gmrd.nn import build_network
from gmrd.nn.prototype import PrototypeMatching
from gmrd.viz.pictures import side_by_side

TRAINED = "GMRD"

console = Console()


Watch = Callable[[EvaluationCase, NDArray[np.uint8], list[ScoredCase]], None]
"""Called with every case, the trained network's label map and all scores."""


def score_fold(
    module: GMRDModule,
    datamodule: EpisodeDataModule,
    settings: DictConfig,
    output_dir: Path,
    *,
    watch: Watch | None = None,
) -> dict[str, float]:
    """Score a module on its data module's fold; print, write and return what came out.

    Under ``output_dir`` there will be ``scores.csv``, ``summary.json``, a picture of each query
    case and, if the settings ask for them, the scored mask of every organ as NIfTI.
    """
    evaluator = evaluator_of(datamodule, settings)
    methods = _methods(module, with_baselines=settings.get("baselines", False))
    for network in methods.values():
        network.eval().to(evaluator.device)
    scores: list[ScoredCase] = []
    found = evaluator.score(methods, datamodule.evaluation_cases())
    n_queries = len(datamodule.evaluation_plan())
    for case, by_method, of_case in track(found, "Scoring cases", n_queries, console=console):
        scores += of_case
        assert case.query.label is not None  # the evaluator has scored it
        labels = as_label_map(by_method[TRAINED])
        if watch is not None:
            watch(case, labels, of_case)
        if settings.save_predictions:
            for class_id, probability in by_method[TRAINED].items():
                organ = datamodule.classes[class_id]
                path = prediction_path(output_dir, case.query.case_id, organ)
                save_prediction(path, case.query, probability)
        side_by_side(
            output_dir / "pictures" / f"case_{case.query.case_id}.png",
            case.query.image,
            {"truth": case.query.label, "prediction": labels},
            {class_id: datamodule.classes[class_id] for class_id in case.supports},
            title=f"{datamodule.name}, case {case.query.case_id}",
        )
    about = _about(module, datamodule, settings)
    write_scores(scores, output_dir, about=about)
    console.print(rich_table(scores, ", ".join(f"{k} {v}" for k, v in about.items())))
    console.print(f"Scores, pictures and predictions: {output_dir}")
    trained = [score for score in scores if score.method == TRAINED]
    dice, iou = per_organ(trained, "dice"), per_organ(trained, "iou")
    named = {f"test/dice_{organ.replace(' ', '_')}": value for organ, value in dice.items()}
    return named | {"test/dice": dice["mean"], "test/iou": iou["mean"]}


def evaluator_of(datamodule: EpisodeDataModule, settings: DictConfig) -> Evaluator:
    """The evaluator of a data module that the settings describe.

    Raises:
        InputError: settings that cannot be followed.
    """
    return Evaluator(
        classes=datamodule.classes,
        n_chunks=settings.n_chunks,
        protocol=settings.protocol,
        batch_size=settings.batch_size,
        device=choose_device(settings.get("device", "auto")),
    )


def _methods(module: GMRDModule, *, with_baselines: bool) -> dict[str, Any]:
    """The trained network, and what it has to beat."""
    methods: dict[str, Any] = {TRAINED: module.network}
    if with_baselines:
        settings = {**module.hparams["network"], "pretrained": None}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(module.hparams["seed"]))
            methods["the same, untrained"] = build_network(**settings)
        methods["one prototype"] = PrototypeMatching(
            module.network.encoder, image_size=module.network.image_size
        )
    return methods


def _about(
    module: GMRDModule, datamodule: EpisodeDataModule, settings: DictConfig
) -> dict[str, object]:
    return {
        "data": datamodule.name,
        "trained_on": (module.hparams.get("scans") or {}).get("name"),
        "fold": datamodule.fold,
        "setting": datamodule.setting,
        "protocol": settings.protocol,
        "chunks": settings.n_chunks,
        "support": datamodule.support,
        "exclusion": datamodule.exclusion if datamodule.setting == 2 else "none",
        "group": datamodule.group,
        "variant": module.hparams["network"]["variant"],
        "seed": int(module.hparams["seed"]),
    }


def refuse_what_was_seen(
    ckpt_path: str, trained: Mapping[str, Any], datamodule: EpisodeDataModule
) -> None:
    """Refuse scores that would be of cases or organs that the network was trained on."""
    if trained.get("name") != datamodule.name or "cases" not in trained:
        return
    seen = [c.case_id for c in datamodule.test_cases if c.case_id in trained["cases"]]
    if seen:
        raise InputError(
            f"{ckpt_path} was trained on {', '.join(seen)}, which fold={datamodule.fold} of "
            f"{datamodule.name} tests: it held out fold={trained['fold']}"
        )
    if datamodule.setting != trained["setting"]:
        raise InputError(
            f"{ckpt_path} was trained in setting {trained['setting']}: add "
            f"setting={trained['setting']}, in place of {datamodule.setting}"
        )
    if datamodule.setting == 2 and datamodule.group != trained["group"]:
        raise InputError(
            f"{ckpt_path} was trained without the organs of group {trained['group']}: add "
            f"data.group={trained['group']}, in place of {datamodule.group}"
        )
