"""Multiruns: a failed job does not end the sweep, and what cannot work is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_module
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import OmegaConf

from gmrd.errors import InputError
from gmrd.training import sweep
from gmrd.training.strategy import refuse_ddp_in_multirun
from helpers.commands import Command
from helpers.files import csv_rows
from helpers.runs import scored, write_run

CONF = Path(__file__).parents[2] / "conf"

QUICK = (
    "evaluate=false",
    "~callbacks.pictures",
    "trainer.limit_val_batches=0",
    "trainer.max_steps=1",
)


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_failed_job_does_not_end_the_sweep(
    command: Command, tmp_path: Path, launcher: str
) -> None:
    side_by_side = ()
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra gmrd[sweep]")
        side_by_side = ("hparams_search=joblib",)
    run = command(
        "gmrd.cli.train", *QUICK, *side_by_side, "fold=99,0", "objective=train/loss", "-m",
    )  # fmt: skip
    assert run.returncode != 0
    assert "Jobs: 2, failed: 1" in run.stdout
    (folder,) = (tmp_path / "runs/multirun").iterdir()
    rows = csv_rows(folder / "sweep.csv")
    assert [row["status"] for row in rows] == ["failed", "completed"]
    assert "fold=99" in rows[0]["overrides"]
    assert "out of range" in rows[0]["error"]
    assert float(rows[1]["result"]) > 0
    assert (folder / "1/checkpoints/last.ckpt").is_file()


def job(folder: Path, mode: RunMode = RunMode.MULTIRUN) -> Any:
    hydra = {
        "mode": mode,
        "job": {"num": 3},
        "overrides": {"task": ["fold=1"]},
        "runtime": {"output_dir": str(folder)},
    }
    return OmegaConf.create({"hydra": hydra})


def test_a_job_that_never_ends_is_listed(tmp_path: Path) -> None:
    sweep.SweepLog().on_job_start(job(tmp_path))
    assert sweep.read_jobs(tmp_path) == [
        {"job": 3, "overrides": ["fold=1"], "status": "did not end", "folder": str(tmp_path)}
    ]
    assert "failed: 1" in str(sweep.jobs_table(sweep.read_jobs(tmp_path)).title)


def test_a_single_run_leaves_no_job_file(tmp_path: Path) -> None:
    sweep.SweepLog().on_job_start(job(tmp_path, RunMode.RUN))
    assert not list(tmp_path.iterdir())


def test_a_result_is_kept(tmp_path: Path) -> None:
    log = sweep.SweepLog()
    log.on_job_start(job(tmp_path))
    done = JobReturn(status=JobStatus.COMPLETED)
    done.return_value = 0.5
    log.on_job_end(job(tmp_path), job_return=done)
    record = json.loads((tmp_path / "job.json").read_text())
    assert (record["status"], record["result"]) == ("completed", 0.5)


SLURM = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


@pytest.mark.parametrize(
    ("mode", "launcher", "trainer", "refused"),
    [
        (RunMode.MULTIRUN, BASIC, {"strategy": "ddp", "devices": 2}, True),
        (RunMode.MULTIRUN, BASIC, {"strategy": "auto", "devices": 2}, True),
        (RunMode.MULTIRUN, BASIC, {"strategy": "auto", "devices": [0, 1]}, True),
        (RunMode.MULTIRUN, BASIC, {"strategy": "auto", "devices": "0,1"}, True),
        (RunMode.MULTIRUN, BASIC, {"strategy": {"_target_": "x.FSDPStrategy"}, "devices": 2}, True),
        (RunMode.MULTIRUN, BASIC, {"strategy": "ddp_spawn", "devices": 2}, False),
        (RunMode.MULTIRUN, BASIC, {"strategy": "auto", "devices": 1}, False),
        (RunMode.MULTIRUN, SLURM, {"strategy": "ddp", "devices": 2}, False),
        (RunMode.RUN, BASIC, {"strategy": "ddp", "devices": 2}, False),
    ],
)
def test_ddp_in_a_multirun_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
    mode: RunMode,
    launcher: str,
    trainer: dict[str, Any],
    refused: bool,
) -> None:
    hydra = SimpleNamespace(mode=mode, launcher={"_target_": launcher})
    monkeypatch.setattr("gmrd.training.strategy.HydraConfig.get", lambda: hydra)
    cfg = OmegaConf.create({"trainer": trainer})
    if refused:
        with pytest.raises(InputError, match=r"ddp_spawn.*submitit_slurm.*gmrd-crossval"):
            refuse_ddp_in_multirun(cfg)
    else:
        refuse_ddp_in_multirun(cfg)


def test_an_optuna_study_is_taken_up_again(command: Command, tmp_path: Path) -> None:
    """Two commands, one trial each, one study; its best trial is by validation."""
    optuna = pytest.importorskip("optuna", reason="the extra gmrd[sweep]")
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="the extra gmrd[sweep]")
    storage = f"sqlite:///{tmp_path}/runs/optuna.db"
    for number in (0, 1):
        run = command(
            "gmrd.cli.train", "hparams_search=optuna", "~callbacks.pictures",
            "trainer.max_steps=3", "hydra.sweeper.n_trials=1",
            f"hydra.sweep.dir={tmp_path}/{number}",
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-3000:]
        assert "Jobs: 1, failed: 0" in run.stdout
    (name,) = [study.study_name for study in optuna.get_all_study_summaries(storage)]
    trials = optuna.load_study(study_name=name, storage=storage).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE"]
    assert {"model.optimizer.lr", "model.network.dropout"} <= trials[0].params.keys()
    assert trials[0].params != trials[1].params, "the first trial was tried again"


def test_folds_of_a_multirun_are_gathered(command: Command, tmp_path: Path) -> None:
    run = command(
        "gmrd.cli.train", "fold=0,1", "trainer.max_steps=1", "~callbacks.pictures",
        "trainer.limit_val_batches=0", "objective=val/none", "-m",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    (note,) = {line for line in run.stdout.splitlines() if line.startswith("note:")}
    assert note.startswith("note: objective=val/none is none of ")
    assert "test/dice," in note
    (folder,) = (tmp_path / "runs/multirun").iterdir()
    table = json.loads((folder / "table.json").read_text())
    assert (table["about"]["folds"], table["about"]["distinct scored cases"]) == ("0 1", 4)
    assert "data:image/png;base64" in (folder / "report.html").read_text()


def test_conditions_are_compared_each_over_its_folds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An ablation of two folds: a row for each condition that was scored."""
    choices = ("mamp", 0), ("mamp", 1), ("cosine", 0), ("cosine", 1), ("neither", 0)
    for number, (prediction, fold) in enumerate(choices):
        folder = tmp_path / str(number)
        folder.mkdir()
        overrides = ["data=chaost2", f"fold={fold}", f"model.network.decoder={prediction}"]
        status = "failed" if prediction == "neither" else "completed"
        record = {"job": number, "overrides": overrides, "status": status}
        (folder / "job.json").write_text(json.dumps(record))
        if status == "completed":
            case = scored("liver", str(fold), 0.8 - 0.1 * fold - 0.2 * (prediction == "cosine"))
            write_run(folder, [case], fold=fold)
    monkeypatch.setattr(sweep.SweepLog, "folder", tmp_path)
    sweep.show_sweep()
    assert "Jobs: 5, failed: 1" in capsys.readouterr().out
    rows = csv_rows(tmp_path / "comparison.csv")
    dice = {r["condition"]: r for r in rows if (r["score"], r["organ"]) == ("dice", "liver")}
    assert {name: float(row["mean"]) for name, row in dice.items()} == pytest.approx(
        {"model.network.decoder=mamp": 0.75, "model.network.decoder=cosine": 0.55}
    )
    assert {row["folds"] for row in dice.values()} == {"0 1"}
    assert not (tmp_path / "table.csv").exists()


PICKLED = """
import cloudpickle, pickle
from gmrd.cli.train import run
assert callable(pickle.loads(cloudpickle.dumps(run.__wrapped__)))
"""


def test_launchers_can_send_the_task_to_other_processes() -> None:
    """Joblib and submitit pickle it by value, with all that its text names."""
    pytest.importorskip("cloudpickle", reason="the extra gmrd[sweep]")
    subprocess.run([sys.executable, "-c", PICKLED], check=True)


def composed(*overrides: str) -> Any:
    with initialize_config_module("gmrd.conf", version_base="1.3"):
        return compose("train", overrides=list(overrides), return_hydra_config=True)


def test_the_slurm_launcher_takes_our_settings() -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="the extra gmrd[sweep]")
    cfg = composed(
        "hydra/launcher=submitit_slurm", "hydra.launcher.gpus_per_node=1",
        "hydra.launcher.timeout_min=720", "experiment=chaost2_s1",
    )  # fmt: skip
    assert cfg.hydra.launcher._target_ == SLURM
    assert (cfg.hydra.launcher.gpus_per_node, cfg.hydra.launcher.timeout_min) == (1, 720)
    assert cfg.hydra.callbacks.sweep_log._target_ == "gmrd.training.sweep.SweepLog"


def test_the_command_of_a_wandb_agent_composes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expanded as wandb's agent does it."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    monkeypatch.setenv("GMRD_DATA", "/data")
    settings = yaml.safe_load((CONF / "sweeps" / "wandb.yaml").read_text())
    chosen = {"model.optimizer.lr": 0.003, "model.network.dropout": 0.4}
    assert set(settings["parameters"]) == set(chosen)
    found = create_sweep_command_args({"args": {key: {"value": v} for key, v in chosen.items()}})
    program, *words = create_sweep_command(settings["command"])
    assert program == settings["program"] == "gmrd-train"
    assert words.pop() == "${args_no_hyphens}"
    cfg = composed(*words, *found["args_no_hyphens"])
    assert (cfg.data.root, cfg.model.optimizer.lr, cfg.model.network.dropout) == (
        "/data",
        0.003,
        0.4,
    )
    assert cfg.logger.wandb.offline is False
