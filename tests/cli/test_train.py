"""Training through its configuration: what it leaves, and how it goes on after an interruption."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.errors import InstantiationException
from omegaconf import OmegaConf, open_dict

from gmrd.checkpoint.load import load_module
from gmrd.errors import InputError
from helpers.commands import SIGNALLED, Command, Train, environment
from helpers.files import csv_rows
from helpers.warm import Warm

QUIET = ("evaluate=false", "~callbacks.pictures", "trainer.limit_val_batches=0", "logger=csv")


def checkpoint(folder: Path, name: str = "last") -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)
    return loaded


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Weights, optimiser, schedule and step are equal bit for bit."""
    assert a["global_step"] == b["global_step"]
    assert a["lr_schedulers"] == b["lr_schedulers"]
    for x, y in ((a["state_dict"], b["state_dict"]), *zip(_states(a), _states(b), strict=True)):
        assert x.keys() == y.keys()
        assert all(torch.equal(x[name], y[name]) for name in x)


def _states(found: dict[str, Any]) -> list[dict[str, torch.Tensor]]:
    return list(found["optimizer_states"][0]["state"].values())


@pytest.fixture(scope="module")
def begun(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of one step."""
    folder = tmp_path_factory.mktemp("begun")
    train(folder, *QUIET, "trainer.max_steps=1")
    return folder


def test_a_run_leaves_all_that_is_needed_to_judge_it(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics, _ = train(tmp_path, "logger=csv")
    printed = capsys.readouterr().out
    assert "Dice" in printed
    assert "Scoring cases" not in printed, "no bar, as trainer.enable_progress_bar=false says"
    assert {"test/dice", "test/dice_liver", "test/iou", "val/pseudo_dice"} <= metrics.keys()
    config = OmegaConf.load(tmp_path / "config.yaml")
    assert config.model.network.image_size == 64
    assert OmegaConf.to_yaml(config, resolve=False).find("${") == -1
    assert checkpoint(tmp_path)["global_step"] == 6
    assert checkpoint(tmp_path, "best")["global_step"] in (3, 6)
    load_module(tmp_path / "checkpoints/best.ckpt")
    rows = csv_rows(tmp_path / "csv/metrics.csv")
    logged = {name for row in rows for name, value in row.items() if value}
    assert {f"train/{part}_loss" for part in ("query", "align", "auxiliary")} <= logged
    assert {"throughput/episodes_per_second", "throughput/data_wait_fraction"} <= logged
    assert float(next(r["test/dice"] for r in rows if r["test/dice"])) == metrics["test/dice"]
    pictures = {path.name for path in (tmp_path / "training_pictures").iterdir()}
    assert {"episode_000003.png", "affinity_000006.png", "descriptors_000006.png"} <= pictures
    about = json.loads((tmp_path / "summary.json").read_text())["about"]
    assert (about["variant"], about["exclusion"], about["support"]) == ("paper", "none", "last")


def test_the_best_weights_are_those_that_validated_best(train: Train, tmp_path: Path) -> None:
    _, module = train(tmp_path, "evaluation.weights=best", "logger=csv", "~callbacks.pictures")
    best = checkpoint(tmp_path, "best")["state_dict"]
    assert all(torch.equal(value, best[name]) for name, value in module.state_dict().items())


def test_best_weights_need_a_validation(train: Train, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"val_check_interval"):
        train(tmp_path, *QUIET, "evaluate=true", "evaluation.weights=best", "trainer.max_steps=1")


@pytest.mark.parametrize(
    ("n_steps", "options"),
    [
        (6, ("trainer.accumulate_grad_batches=2",)),
        (6, ("callbacks=ema", "~callbacks.pictures")),
        (2, ("trainer.precision=bf16-mixed",)),  # a step of a CPU takes seconds
    ],
    ids=["accumulation", "ema", "bf16"],
)
def test_resumed_equals_uninterrupted(
    train: Train, tmp_path: Path, n_steps: int, options: tuple[str, ...]
) -> None:
    quiet = [o for o in QUIET if not (o.startswith("~") and "callbacks=ema" in options)]
    whole = (*quiet, *options, f"trainer.max_steps={n_steps}")
    train(tmp_path / "whole", *whole)
    train(tmp_path / "parts", *quiet, *options, f"trainer.max_steps={n_steps // 2}")
    train(tmp_path / "parts", *whole, "ckpt_path=auto")
    assert_same(checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts"))


def test_averaged_weights_are_not_the_last_ones(train: Train, tmp_path: Path) -> None:
    _, module = train(tmp_path, "evaluate=false", "callbacks=ema", "logger=csv")
    saved = checkpoint(tmp_path)
    name = "network.foreground.mix.weight"
    assert not torch.equal(saved["state_dict"][name], saved["current_model_state"][name])
    assert torch.equal(module.state_dict()[name], saved["state_dict"][name])


def test_a_compiled_network_s_checkpoint_is_a_plain_one(train: Train, tmp_path: Path) -> None:
    """As compiled as can be tested in seconds: torch runs what it would compile as it stands."""
    with torch.compiler.set_stance("force_eager"):
        _, compiled = train(tmp_path / "one", *QUIET, "compile=true", "trainer.max_steps=2")
        train(tmp_path / "one", *QUIET, "compile=true", "ckpt_path=auto")
    train(tmp_path / "two", *QUIET, "compile=false")
    assert compiled.network._compiled_call_impl is not None
    assert_same(checkpoint(tmp_path / "one"), checkpoint(tmp_path / "two"))


@pytest.mark.parametrize(
    ("name", "status", "options", "saved_step"),
    [
        ("SIGKILL", -signal.SIGKILL, ("trainer.max_steps=8",), 4),
        (
            "SIGTERM",
            143,
            ("trainer.max_steps=8", "trainer.accumulate_grad_batches=2", "callbacks=ema"),
            6,
        ),
    ],
)
def test_a_killed_training_goes_on_bit_for_bit(
    train: Train,
    command: Command,
    tmp_path: Path,
    name: str,
    status: int,
    options: tuple[str, ...],
    saved_step: int,
) -> None:
    """SIGKILL leaves the last periodic checkpoint; SIGTERM ends the running step and saves."""
    (tmp_path / "signalled.py").write_text(SIGNALLED)
    killed = tmp_path / "killed"
    run = command(
        "gmrd.cli.train", *QUIET, *options, f"hydra.run.dir={killed}",
        "+callbacks.signal._target_=signalled.At", "+callbacks.signal.step=5",
        f"+callbacks.signal.name={name}",
    )  # fmt: skip
    assert run.returncode == status, run.stderr
    assert checkpoint(killed)["global_step"] == saved_step
    train(killed, *QUIET, *options, "ckpt_path=auto")
    train(tmp_path / "whole", *QUIET, *options)
    assert_same(checkpoint(killed), checkpoint(tmp_path / "whole"))


def test_an_interrupt_takes_leave_in_a_sentence(command: Command, tmp_path: Path) -> None:
    (tmp_path / "signalled.py").write_text(SIGNALLED)
    run = command(
        "gmrd.cli.train", *QUIET, f"hydra.run.dir={tmp_path}/run",
        "+callbacks.signal._target_=signalled.At", "+callbacks.signal.step=5",
        "+callbacks.signal.name=SIGINT",
    )  # fmt: skip
    assert run.returncode == 130
    assert "interrupted: finished results are kept" in " ".join(run.stderr.split())
    assert checkpoint(tmp_path / "run")["global_step"] == 6  # the running step is ended and saved


def test_an_interrupted_multirun_shows_what_was_finished(command: Command, tmp_path: Path) -> None:
    (tmp_path / "signalled.py").write_text(SIGNALLED)
    run = command(
        "gmrd.cli.train", *QUIET, "trainer.max_steps=5,6",
        "+callbacks.signal._target_=signalled.At", "+callbacks.signal.step=5",
        "+callbacks.signal.name=SIGINT", "objective=train/loss", "-m",
    )  # fmt: skip
    assert run.returncode == 130
    assert "Jobs: 2, failed: 1" in run.stdout
    (folder,) = (tmp_path / "runs/multirun").iterdir()
    rows = csv_rows(folder / "sweep.csv")
    assert [row["status"] for row in rows] == ["completed", "did not end"]


def test_a_signal_to_the_whole_group_ends_the_step_and_saves(
    tiny: tuple[str, ...], warm: Warm, tmp_path: Path
) -> None:
    """As ``timeout`` and schedulers send it: the workers that make episodes are not lost."""
    endless = ("trainer.max_steps=1000000", "data.num_workers=2", f"hydra.run.dir={tmp_path}")
    with warm.running(
        "gmrd.cli.train", *tiny, *QUIET, *endless, cwd=tmp_path, env=environment(), apart=True
    ) as command:
        while not (tmp_path / "checkpoints/last.ckpt").is_file() and not command.ended:
            time.sleep(0.05)
        os.killpg(command.pid, signal.SIGTERM)
    run = command.done()
    assert run.returncode == 143, run.stderr
    assert "Traceback" not in run.stderr
    assert checkpoint(tmp_path)["global_step"] > 0


def test_runs_of_one_second_have_a_folder_each() -> None:
    def folder() -> str:
        with initialize_config_module("gmrd.conf", version_base="1.3"):
            cfg = compose("train", ["data=phantom"], return_hydra_config=True)
        with open_dict(cfg):
            cfg.hydra.runtime.choices = {"model": "gmrd"}
        return str(cfg.hydra.run.dir)

    assert len({folder() for _ in range(3)}) == 3


def test_resuming_keeps_the_earlier_curves(train: Train, tmp_path: Path) -> None:
    train(tmp_path, *QUIET, "trainer.max_steps=2")
    train(tmp_path, *QUIET, "ckpt_path=auto", "trainer.max_steps=4")
    steps = [
        [int(row["step"]) for row in csv_rows(tmp_path / "csv" / name)]
        for name in ("metrics_0.csv", "metrics.csv")
    ]
    assert [max(found) for found in steps] == [1, 3]


def test_a_missing_checkpoint_is_named(train: Train, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ckpt_path=nowhere\.ckpt"):
        train(tmp_path, "ckpt_path=nowhere.ckpt")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.network.n_features=8", r"another network \(.*n_features=16, here 8"),
        (
            "model.network.image_size=32",
            r"another optimizer \(_target_=torch.optim.SGD, here torch.optim.AdamW",
        ),
    ],
)
def test_another_training_is_not_resumed(
    train: Train, tmp_path: Path, request: pytest.FixtureRequest, override: str, message: str
) -> None:
    other = request.getfixturevalue("checkpoint")
    with pytest.raises(InputError, match=message):
        train(tmp_path, f"ckpt_path={other}", override)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fold=1", "was trained with fold=0, here fold=1"),
        ("seed=5", "with seed=0, here seed=5"),
        ("data.min_area=10", r"with data\.min_area=20, here data\.min_area=10"),
        ("data.augmentation.shear=0", r"data\.augmentation\.shear=5\.0, here .*shear=0"),
        ("trainer.gradient_clip_val=2", r"trainer\.gradient_clip_val=None, here .*=2"),
        ("callbacks=ema", r"callbacks\.averaging\._target_=None, here"),
        ("model.network.boundary=ring", r"another network \(boundary=published, here ring"),
        ("model.network.fill=mean", r"another network \(fill=random, here mean"),
        ("variant=head", r"another network \(activation=relu, here none"),
        ("model.loss.class_weights=[0.2,1.0]", r"another loss \(class_weights=\[0\.1, 1\.0\]"),
        ("model.optimizer.lr=0.5", r"another optimizer \(lr=.*, here 0\.5"),
        ("+model.optimizer.amsgrad=true", r"another optimizer \(amsgrad=None, here True"),
        ("model.rates={network.encoder: 0.1}", r"other rates \(network\.encoder=None, here 0\.1"),
        ("data.label_values={9: 1}", r"data\.label_values\.9=None, here data\.label_values\.9=1"),
        ("data.n_validation_episodes=0", r"with data\.n_validation_episodes=2, here .*=0"),
        ("trainer.limit_train_batches=2", r"trainer\.limit_train_batches=None, here .*=2"),
        (
            "+callbacks.swa={_target_: pytorch_lightning.callbacks.StochasticWeightAveraging,"
            " swa_lrs: 0.1}",
            r"callbacks\.swa\._target_=None, here",
        ),
    ],
)
def test_another_training_is_not_gone_on_with(
    train: Train, begun: Path, tmp_path: Path, override: str, message: str
) -> None:
    """The cases to be scored would have been seen, and the checkpoint would not say so."""
    quiet = [o for o in QUIET if not (o.startswith("~") and override == "callbacks=ema")]
    with pytest.raises(InputError, match=message):
        train(tmp_path, *quiet, f"ckpt_path={begun}/checkpoints/last.ckpt", override)


def test_what_another_version_did_not_record_is_no_difference(
    train: Train, begun: Path, tmp_path: Path
) -> None:
    saved = checkpoint(begun)
    record = saved["hyper_parameters"]["scans"]
    del record["settings"]["data.draw"]
    torch.save(saved, tmp_path / "older.ckpt")
    with pytest.raises(InputError, match=r"data\.draw=None, here data\.draw=even"):
        train(tmp_path / "run", *QUIET, f"ckpt_path={tmp_path}/older.ckpt")
    record["versions"]["gmrd"] = "0.0.9"
    torch.save(saved, tmp_path / "older.ckpt")
    train(tmp_path / "run", *QUIET, f"ckpt_path={tmp_path}/older.ckpt")
    assert checkpoint(tmp_path / "run")["global_step"] == 6


def test_what_changes_nothing_of_what_is_learned_may_change(
    train: Train, begun: Path, tmp_path: Path
) -> None:
    elsewhere = ("data.num_workers=1", f"data.cache_dir={tmp_path}/cache")
    train(tmp_path, *QUIET, *elsewhere, f"ckpt_path={begun}/checkpoints/last.ckpt")
    assert checkpoint(tmp_path)["global_step"] == 6


def test_weights_alone_are_no_training_to_go_on_with(
    train: Train, begun: Path, tmp_path: Path
) -> None:
    saved = checkpoint(begun)
    torch.save({key: saved[key] for key in ("hyper_parameters", "state_dict")}, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="contains only weights"):
        train(tmp_path, *QUIET, f"ckpt_path={tmp_path}/a.ckpt")


def test_auto_says_where_it_begins(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, *QUIET, "trainer.max_steps=2", "ckpt_path=auto")
    assert "last.ckpt does not exist yet: training from scratch" in capsys.readouterr().out
    train(tmp_path, *QUIET, "trainer.max_steps=3", "ckpt_path=auto")
    assert "resuming from step 2 of" in capsys.readouterr().out


def test_a_folder_is_no_checkpoint(train: Train, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder: name a"):
        train(tmp_path, f"ckpt_path={tmp_path}")


def test_a_fold_too_small_to_score_is_refused_before_training(train: Train, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"in 3 cases of fold 0, too few for data\.n_shot=5"):
        train(tmp_path, "data.n_shot=5")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.support=17", r"data\.support=17 is none of last"),
        ("data.batch_size=16", r"data\.n_episodes=8 is fewer than the 16 episodes of one step"),
        ("data.batch_size=0", r"data\.batch_size=0: expected a whole number, 1 or more"),
        ("model.optimizer.lr=-1", "Invalid learning rate"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_a_step(
    train: Train, tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises((InputError, InstantiationException), match=message):
        train(tmp_path, override)
    assert not (tmp_path / "scores.csv").exists()
    assert not (tmp_path / "checkpoints").exists()


def test_a_schedule_laid_out_for_fewer_steps_is_not_gone_on_with(
    train: Train, tmp_path: Path
) -> None:
    one_cycle = ("scheduler=one_cycle", "evaluate=false", "~callbacks.pictures")
    train(tmp_path, *one_cycle, "trainer.max_steps=2", "trainer.limit_val_batches=0")
    with pytest.raises(InputError, match=r"another scheduler \(total_steps=2, here 4\)"):
        train(tmp_path, *one_cycle, "trainer.max_steps=4", "ckpt_path=auto")
