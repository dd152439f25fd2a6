"""Configurations and short trainings, in this process and as a command."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

if TYPE_CHECKING:
    from gmrd.module import GMRDModule

TINY = (
    "data=phantom",
    "data.n_folds=3",
    "data.supervoxels.min_size=100",
    "data.min_area=20",
    "data.n_episodes=8",
    "data.n_validation_episodes=2",
    "model=gmrd_small",
    "scheduler=step",
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

Train = Callable[..., "tuple[dict[str, float], GMRDModule]"]
RunHere = Callable[..., int | str]
Command = Callable[..., subprocess.CompletedProcess[str]]


def composed(command: str, *overrides: str) -> DictConfig:
    """The configuration of ``gmrd-command``, as its task is given it."""
    with initialize_config_module("gmrd.conf", version_base="1.3"):
        cfg = compose(command, overrides=list(overrides), return_hydra_config=True)
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = "out"
        HydraConfig.instance().set_config(cfg)
        del cfg.hydra
    return cfg


def environment(**variables: str) -> dict[str, str]:
    """Of a command that is started beside others and never goes online."""
    return {**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", **variables}
