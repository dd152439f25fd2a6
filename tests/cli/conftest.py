"""Trainings of a minute's fraction, in this process and as a command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gmrd.module import GMRDModule

TINY = (
    "data=phantom",
    "data.n_folds=3",
    "data.supervoxels.min_size=100",
    "data.min_area=20",
    "data.n_episodes=8",
    "data.n_validation_episodes=2",
    "model=gmrd_small",
    "schedule@model.scheduler=step",
    "model.network.image_size=64",
    "model.network.n_features=16",
    "model.network.n_foreground=4",
    "model.network.n_background=6",
    "trainer=cpu",
    "trainer.max_steps=6",
    "trainer.val_check_interval=3",
    "trainer.log_every_n_steps=1",
    "trainer.enable_model_summary=false",
    "trainer.enable_progress_bar=false",
    "~callbacks.progress",
    "callbacks.checkpoint.every_n_train_steps=2",
    "callbacks.pictures.every_n_steps=3",
)

SIGNALLED = """
import os, signal
from pytorch_lightning import Callback

class At(Callback):
    '''Sends a signal when a process of some rank begins some step.'''
    def __init__(self, step, name, rank=0, to_parent=False):
        self.step, self.signal, self.rank = step, getattr(signal, name), rank
        self.to_parent = to_parent
    def on_train_batch_start(self, trainer, *_):
        if (trainer.global_step, trainer.global_rank) == (self.step, self.rank):
            os.kill(os.getppid() if self.to_parent else os.getpid(), self.signal)
"""
"""The module ``signalled``, for a training that is to be interrupted."""

Train = Callable[..., tuple[dict[str, float], GMRDModule]]
Command = Callable[..., subprocess.CompletedProcess[str]]


def environment(**variables: str) -> dict[str, str]:
    """Of a command that is started beside others and never goes online."""
    return {**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", **variables}


@pytest.fixture(scope="session")
def tiny(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Overrides of a tiny training on the phantom."""
    cache = tmp_path_factory.mktemp("cache")
    return (*TINY, f"data.root={phantom}", f"data.cache_dir={cache}")


@pytest.fixture(scope="session")
def train(tiny: tuple[str, ...]) -> Train:
    """Trains in this process: ``train(folder, *overrides)``."""
    from hydra import compose, initialize_config_module
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    from gmrd.cli.train import train as train_cfg

    def run(folder: Path, *overrides: str) -> tuple[dict[str, float], GMRDModule]:
        folder.mkdir(parents=True, exist_ok=True)
        with initialize_config_module("gmrd.conf", version_base="1.3"):
            cfg = compose("train", overrides=[*tiny, *overrides], return_hydra_config=True)
        with open_dict(cfg):
            cfg.hydra.runtime.output_dir = str(folder)
            cfg.hydra.mode = "RUN"
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg.hydra
        return train_cfg(cfg)

    return run


@pytest.fixture
def command(tiny: tuple[str, ...], tmp_path: Path) -> Command:
    """Runs ``python -m module *overrides`` in an empty folder, with extra modules on the path."""

    def run(module: str, *overrides: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *tiny, *overrides],
            cwd=tmp_path,
            env=environment(**{"PYTHONPATH": str(tmp_path), **variables}),
            capture_output=True,
            text=True,
            timeout=500,
        )

    return run
