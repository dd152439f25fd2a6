"""Refusing strategies for several processes that cannot work, before training."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from pytorch_lightning import Trainer
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from torch.multiprocessing.spawn import ProcessExitedException

from gmrd.errors import InputError
from gmrd.training.callbacks.preemption import TERMINATED


def refuse_missing_gpus(cfg: DictConfig) -> None:
    """Refuse settings that need a GPU if there is none.

    Raises:
        InputError: with an alternative that works.
    """
    if torch.cuda.is_available() and cfg.trainer.accelerator != "cpu":
        return
    needs = {
        "trainer.strategy=fsdp shards parameters over GPUs": (
            _strategy(cfg).endswith(("fsdp", ".FSDPStrategy"))
        ),
        "trainer.devices=-1 means all GPUs": str(cfg.trainer.devices) == "-1",
    }
    for what, needed in needs.items():
        if needed:
            raise InputError(
                f"{what}, but none is available (trainer.accelerator={cfg.trainer.accelerator}, "
                f"GPUs here: {torch.cuda.device_count()}): trainer=ddp trainer.accelerator=cpu "
                "trainer.devices=2 trains in two processes on a CPU"
            )


def refuse_ddp_in_multirun(cfg: DictConfig) -> None:
    """Refuse a multirun whose jobs run in one process and start DDP processes.

    Lightning starts the other ranks by running the same command again, so each rank would run the
    whole multirun.

    Raises:
        InputError: with the alternatives.
    """
    hydra = HydraConfig.get()
    launcher = hydra.launcher.get("_target_", "")
    in_process = "submitit_launcher.SlurmLauncher" not in launcher
    restarts = _strategy(cfg).startswith(("ddp", "fsdp")) and "spawn" not in _strategy(cfg)
    restarts |= _strategy(cfg).endswith((".DDPStrategy", ".FSDPStrategy"))
    if hydra.mode == RunMode.MULTIRUN and in_process and (restarts or _auto_ddp(cfg)):
        raise InputError(
            "--multirun with trainer.strategy=ddp or fsdp would start a multirun in every process. "
            "Use trainer.strategy=ddp_spawn, one device per job (trainer.devices=1), "
            "hydra/launcher=submitit_slurm, or gmrd-crossval, which starts every training as a "
            "separate command"
        )


@contextmanager
def passing_sigterm_on(trainer: Trainer) -> Iterator[None]:
    """Forward SIGTERM to the training processes, and exit with their status.

    Only ``ddp_spawn`` needs this, because there the main process only waits for its children.
    """
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _MultiProcessingLauncher):
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda signum, _: launcher.kill(signum))
    try:
        yield
    except ProcessExitedException as ended:
        if ended.exit_code == TERMINATED:
            raise SystemExit(TERMINATED) from ended
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _strategy(cfg: DictConfig) -> str:
    """The strategy's name, or its class."""
    strategy = cfg.trainer.get("strategy", "auto")
    return strategy if isinstance(strategy, str) else str(strategy.get("_target_", ""))


def _auto_ddp(cfg: DictConfig) -> bool:
    """Whether ``strategy: auto`` resolves to DDP."""
    devices = cfg.trainer.get("devices", 1)
    if isinstance(devices, str) and "," in devices:
        devices = [number for number in devices.split(",") if number.strip()]
    if not isinstance(devices, (int, str)):
        devices = len(devices)
    if str(devices) in ("auto", "-1"):
        devices = torch.cuda.device_count()
    several = int(devices) * int(cfg.trainer.get("num_nodes", 1)) > 1
    return _strategy(cfg) == "auto" and several
