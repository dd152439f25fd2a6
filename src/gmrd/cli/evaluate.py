"""gmrd-evaluate: a checkpoint against the held-out cases of a fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track

from gmrd.cli.console import command
from gmrd.data.datamodule import EpisodeDataModule
from gmrd.evaluation import EvaluationCase, Evaluator, save_prediction
from gmrd.inference import choose_device
from gmrd.module import GMRDModule, load_module
from gmrd.nn import build_network
from gmrd.nn.prototype import PrototypeMatching
from gmrd.pictures import side_by_side
from gmrd.results import ScoredCase, per_organ, rich_table, write_scores

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
    also_about: Mapping[str, object] | None = None,
) -> dict[str, float]:
    """Score a module on its data module's fold; print, write and return what came out.

    Under ``output_dir`` there will be ``scores.csv``, ``summary.json``, a picture of each query
    case and, if the settings ask for them, NIfTI predictions.
    """
    evaluator = evaluator_of(datamodule, settings)
    methods = _methods(module, with_baselines=settings.get("baselines", False))
    for network in methods.values():
        network.eval().to(evaluator.device)
    scores: list[ScoredCase] = []
    found = evaluator.score(methods, datamodule.evaluation_cases())
    n_supports = 0 if datamodule.support == "rotate" else datamodule.n_shot
    n_queries = len(datamodule.test_cases) - n_supports
    for case, maps, of_case in track(found, "Scoring cases", n_queries, console=console):
        scores += of_case
        assert case.query.label is not None  # the evaluator has scored it
        if watch is not None:
            watch(case, maps[TRAINED], of_case)
        if settings.save_predictions:
            save_prediction(output_dir / "predictions", case.query, maps[TRAINED])
        side_by_side(
            output_dir / "pictures" / f"case_{case.query.case_id}.png",
            case.query.image,
            {"truth": case.query.label, "prediction": maps[TRAINED]},
            {class_id: datamodule.classes[class_id] for class_id in case.supports},
            title=f"{datamodule.name}, case {case.query.case_id}",
        )
    about = _about(module, datamodule, settings) | dict(also_about or {})
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
        "fold": datamodule.fold,
        "setting": datamodule.setting,
        "protocol": settings.protocol,
        "chunks": settings.n_chunks,
        "support": datamodule.support,
        "exclusion": datamodule.exclusion,
        "group": datamodule.group,
        "variant": module.hparams["network"]["variant"],
        "seed": datamodule.seed,
    }


@command("evaluate")
def main(cfg: DictConfig) -> float:
    """Console entry point."""
    module = load_module(cfg.ckpt_path)
    datamodule = instantiate(cfg.data)
    output_dir = Path(HydraConfig.get().runtime.output_dir)
    return score_fold(module, datamodule, cfg, output_dir)["test/dice"]
