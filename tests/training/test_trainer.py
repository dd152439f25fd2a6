"""Lightning's own tools with our module and data module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from pytorch_lightning import Trainer
from pytorch_lightning.tuner import Tuner

from gmrd.data.datamodule import EpisodeDataModule
from gmrd.evaluation.fold import score_fold
from gmrd.evaluation.settings import EvaluationSettings
from gmrd.module import GMRDModule
from helpers.commands import composed

Made = tuple[GMRDModule, EpisodeDataModule]


@pytest.fixture
def made(tiny: tuple[str, ...]) -> Made:
    """A tiny module, and the phantom's data module with its supervoxels made."""
    cfg = composed("train", *tiny, "data.num_workers=0", "scheduler=one_cycle")
    torch.manual_seed(0)
    data = instantiate(cfg.data)
    data.prepare_data()
    return instantiate(cfg.model), data


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., Trainer]:
    def make(**settings: Any) -> Trainer:
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
        return Trainer(
            accelerator="cpu", default_root_dir=tmp_path, **quiet, **{"max_steps": 2, **settings}
        )

    return make


def test_a_test_gives_the_scores_of_the_protocol(
    made: Made, trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    module, data = made
    (found,) = trainer().test(module, data, verbose=False)
    settings = EvaluationSettings(device="cpu")
    scores = score_fold(module, data.split, settings, tmp_path, steps=0)
    dice = {name: value for name, value in scores.items() if name.startswith("test/dice")}
    assert len(dice) == 5
    assert {name: pytest.approx(value, abs=1e-6) for name, value in found.items()} == dice


def test_a_prediction_is_a_probability_of_every_class_on_the_case_s_grid(
    made: Made, trainer: Callable[..., Trainer]
) -> None:
    module, data = made
    found = trainer().predict(module, data)
    assert found is not None
    cases = list(data.split.evaluation_cases())
    assert len(found) == len(cases) > 1
    for case, by_class in zip(cases, found, strict=True):
        assert by_class.keys() == case.supports.keys()
        for class_id, probability in by_class.items():
            assert probability.shape == case.query.image.shape
            assert 0 < probability.max() <= 1
            outside = torch.from_numpy(~case.query.mask(class_id).any(axis=(1, 2)))
            assert not probability[outside].any()


def test_the_learning_rate_finder_sets_the_optimiser_and_its_cycle(
    made: Made, trainer: Callable[..., Trainer]
) -> None:
    module, data = made
    before = {name: value.clone() for name, value in module.state_dict().items()}
    finder = Tuner(trainer(num_sanity_val_steps=0, limit_val_batches=0)).lr_find(
        module, data, min_lr=1e-5, max_lr=1e-2, num_training=8, early_stop_threshold=None
    )
    assert finder is not None
    assert len(finder.results["lr"]) == 8
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    module.lr = 0.004
    optimizer = module.hparams["optimizer"]
    assert optimizer["lr"] == module.hparams["scheduler"]["max_lr"] == module.lr == 0.004


def test_the_batch_size_scaler_sets_the_data_module(
    made: Made, trainer: Callable[..., Trainer]
) -> None:
    module, data = made
    tuner = Tuner(trainer(num_sanity_val_steps=0, limit_val_batches=0))
    found = tuner.scale_batch_size(module, data, mode="power", steps_per_trial=1, init_val=1)
    assert found == data.batch_size == len(data.episodes()) == 8, "an epoch is the most"
    assert len(next(iter(data.train_dataloader())).query_masks) == 8
