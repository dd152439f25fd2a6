"""Every experiment composes, instantiates, and says what it expects and costs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict

from gmrd.evaluation.published import published_dice
from gmrd.losses import GMRDLoss
from helpers.commands import RunHere

FOLDER = Path(__file__).parents[1] / "conf" / "experiment"
EXPERIMENTS = sorted(str(p.relative_to(FOLDER).with_suffix("")) for p in FOLDER.rglob("*.yaml"))


def composed(root: str, folder: Path, *overrides: str) -> DictConfig:
    with initialize_config_module("gmrd.conf", version_base="1.3"):
        cfg = compose(root, overrides=list(overrides), return_hydra_config=True)
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = str(folder)
        HydraConfig.instance().set_config(cfg)
        del cfg.hydra
    return cfg


def roots(cfg: DictConfig, folder: Path) -> DictConfig:
    cfg.data.root = str(folder)
    if cfg.evaluation_data is not None:
        cfg.evaluation_data.root = str(folder)
    return cfg


@pytest.mark.filterwarnings("ignore:.*to a meta parameter:UserWarning")  # pretrained weights
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_can_be_built(name: str, tmp_path: Path) -> None:
    weights = "model.network.pretrained=none"  # or they would have to be downloaded
    cfg = roots(composed("train", tmp_path, f"experiment={name}", weights), tmp_path)
    steps = {"small": 8000, "lite": 1000}.get(name.rpartition("_")[2], 36000)
    assert cfg.trainer.max_steps == steps
    instantiate(cfg.data)
    if cfg.evaluation_data is not None:
        assert instantiate(cfg.evaluation_data).data.name != cfg.data.name
    with torch.device("meta"):
        module = instantiate(cfg.model)
    assert isinstance(module.loss, GMRDLoss)
    for group in (cfg.callbacks, cfg.logger):
        for settings in group.values():
            instantiate(settings)
    assert instantiate(cfg.trainer).max_steps == steps


def test_one_cycle_follows_the_optimisers_learning_rate(tmp_path: Path) -> None:
    """With a rate of its own in the schedule a sweep over the optimiser's would change nothing."""
    cfg = composed("train", tmp_path, "model=gmrd_small", "model.optimizer.lr=0.0007")
    optimizer = torch.optim.AdamW([torch.zeros(1)], lr=cfg.model.optimizer.lr)
    arguments = {k: v for k, v in cfg.model.scheduler.items() if k != "_target_"}
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, **arguments)
    rates = []
    for _ in range(cfg.trainer.max_steps // 4):
        optimizer.step()
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    assert max(rates) == pytest.approx(0.0007)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_crossval_takes_an_experiment(name: str, tmp_path: Path) -> None:
    from gmrd.cli.crossval import plan

    cfg = composed("crossval", tmp_path, f"experiment={name}", "seeds=[0,1]")
    jobs = plan(cfg, tmp_path, [f"experiment={name}", "seeds=[0,1]", "data.root=DATA"])
    assert len(jobs) == 5 * 2 * (2 if cfg.setting == 2 else 1)
    assert len({job.folder for job in jobs}) == len(jobs)
    assert jobs[0].overrides[:2] == (f"experiment={name}", "data.root=DATA")
    composed("train", tmp_path, *jobs[-1].overrides)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_states_command_expectation_and_cost(name: str) -> None:
    header = "".join(
        line for line in (FOLDER / f"{name}.yaml").read_text().splitlines(keepends=True)
        if line.startswith("#")
    )  # fmt: skip
    assert f"experiment={name}" in header
    assert "Cost:" in header
    assert "Published Dice:" in header or "Expected:" in header


SCORED = re.compile(r"(?:published/)?([a-z0-9]+)_s(\d)(?:_lite)?")
PUBLISHED = [name for name in EXPERIMENTS if name.startswith("published/")]


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if SCORED.fullmatch(name)])
def test_the_stated_dice_is_the_published_one(name: str) -> None:
    found = SCORED.fullmatch(name)
    assert found
    data, setting = found.groups()
    text = (FOLDER / f"{name}.yaml").read_text().split("Published Dice:")[1]
    stated = {float(found) for found in re.findall(r"\d\d\.\d\d", text)}
    assert stated == set(published_dice(data, int(setting)).values())


RECIPE: dict[str, Any] = {
    "data.fold_order": "sorted",
    "data.support": 2,
    "data.exclusion": "all",
    "data.draw": "rejection",
    "data.held_out_fraction": 0.0,
    "data.augmentation.shear_about": "corner",
    "data.augmentation.border": "mean",
    "data.augmentation.keep_emptied": True,
    "model.network.pretrained": "coco_deeplabv3",
    "model.network.projection_start": "kaiming",
    "model.network.fill": "published",
    "model.network.boundary": "published",
    "model.network.activation": "relu",
    "model.network.with_threshold": True,
    "model.loss.auxiliary_weight": 0.5,
    "model.loss.auxiliary_shots": "sum",
    "model.optimizer._target_": "torch.optim.SGD",
    "model.optimizer.lr": 0.001,
    "model.optimizer.momentum": 0.9,
    "model.optimizer.weight_decay": 0.0005,
    "model.scheduler.step_size": 3000,
    "model.scheduler.gamma": 0.98,
    "data.batch_size": 1,
    "data.min_area": 200,
    "trainer.max_steps": 36000,
}
"""The public code's side of every point where it differs, and what is common to both."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_experiment_is_the_public_recipe(name: str, tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    cfg = composed("train", tmp_path, f"experiment={name}", "data.root=DATA")
    assert {key: OmegaConf.select(cfg, key) for key in RECIPE} == RECIPE
    found = SCORED.fullmatch(name)
    assert found
    assert (cfg.data.name, str(cfg.setting)) == found.groups()
    assert cfg.data.setting == cfg.setting


def test_there_is_a_published_experiment_for_every_published_table() -> None:
    tables = {(data, setting) for data in ("chaost2", "sabs", "cmr") for setting in (1, 2)
              if published_dice(data, setting)}  # fmt: skip
    assert {f"published/{data}_s{setting}" for data, setting in tables} == set(PUBLISHED)


@pytest.mark.parametrize("name", [*PUBLISHED, "chaost2_s1", "sabs_to_chaost2", "ablation/full"])
def test_absent_weights_are_refused_with_the_file_and_its_place(
    name: str, run_here: RunHere, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def offline(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    roots = ["data.root=nowhere"]
    if "_to_" in name:
        roots.append("evaluation_data.root=nowhere")
    assert run_here("train", f"experiment={name}", *roots) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "pretrained=coco_deeplabv3 is neither on this machine" in said
    assert "deeplabv3_resnet101_coco-586e9e4e.pth" in said
    assert str(tmp_path / "torch/hub/checkpoints") in said.replace(" ", "")
    assert "or to none for random weights" in said


ABLATED: dict[str, Any] = {
    "ablation/no_auxiliary": ("model.loss.auxiliary_weight", 0.0),
    "ablation/few_descriptors": ("model.network.n_foreground", 10),
    "ablation/no_mamp": ("model.network.decoder._target_", "gmrd.nn.decoders.BestCosine"),
    "ablation/single_path": ("model.network.paths", "single"),
}


@pytest.mark.parametrize("name", ABLATED)
def test_an_ablation_differs_from_the_full_method_in_one_place(name: str, tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    key, value = ABLATED[name]
    full, ablated = (
        composed("train", tmp_path, f"experiment={e}") for e in ("ablation/full", name)
    )
    assert OmegaConf.select(ablated, key) == value != OmegaConf.select(full, key)


def test_the_ablations_are_a_multirun() -> None:
    import yaml

    path = FOLDER.parent / "hparams_search" / "ablations.yaml"
    listed = yaml.safe_load(path.read_text())["hydra"]["sweeper"]["params"]["experiment"].split(",")
    assert sorted(listed) == [name for name in EXPERIMENTS if name.startswith("ablation/")]
