"""What all commands share: Hydra in front, refused input explained in a sentence."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from types import NoneType
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import MissingMandatoryValue
from rich.console import Console
from rich.markup import escape

from gmrd.components import allowing
from gmrd.errors import InputError

CONFIG_PATH = "pkg://gmrd.conf"

errors = Console(stderr=True)


def command(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Turn ``task(cfg)`` into a console command on the packaged configuration ``config_name``.

    Input that the user can mend ends a single run with its message and exit status 2. In a
    multirun it is raised, so that the sweep records the job as failed and goes on.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        @hydra.main(version_base="1.3", config_path=CONFIG_PATH, config_name=config_name)
        def explained(cfg: DictConfig) -> Any:
            _hush_libraries()
            try:
                _refuse_wrong_kinds(cfg)
                with allowing(_packages(cfg)):
                    return task(cfg)
            except Exception as error:
                refused = _refused(error)
                if refused is None or HydraConfig.get().mode == RunMode.MULTIRUN:
                    raise
                _tell(refused)
                sys.exit(2)
            except KeyboardInterrupt:
                _take_leave()
            except SystemExit as ended:
                if isinstance(ended.__context__, KeyboardInterrupt):  # Lightning's way to end
                    _take_leave()
                raise

        sent: Any = explained  # its task is what launchers send to other processes

        @wraps(sent.__wrapped__)
        def entry() -> Any:
            if "--version" in sys.argv[1:]:  # Hydra would print its own
                print(f"gmrd {version('gmrd')}")
                return None
            return sent()

        return entry

    return decorate


def _refuse_wrong_kinds(cfg: DictConfig) -> None:
    for key in ("fold", "setting", "seed"):
        if not isinstance(cfg.get(key, 0), int):
            raise InputError(f"{key}={cfg[key]} is no whole number")
    if cfg.get("seed", 0) < 0:
        raise InputError(f"seed={cfg.seed} is less than 0")
    for key in ("folds", "seeds", "groups", "devices"):
        if not isinstance(cfg.get(key), (ListConfig, NoneType)):
            raise InputError(f"{key}={cfg[key]} is no list: {key}=[{cfg[key]}]")


def _packages(cfg: DictConfig) -> list[str]:
    """Packages beside gmrd whose classes a checkpoint may name, of commands that read one."""
    packages = cfg.get("allow") or []
    if isinstance(packages, str) or not all(isinstance(name, str) for name in packages):
        raise InputError(f"allow={packages} is no list of packages: allow=[{packages}]")
    return list(packages)


def _refused(error: BaseException | None) -> Exception | None:
    """What an exception says about the user's input; None if it is about something else."""
    if isinstance(error, InstantiationException):
        error = error.__cause__
    if isinstance(error, (InputError, MissingMandatoryValue)):
        return error
    if type(error).__module__.startswith("wandb.") and type(error).__name__ == "UsageError":
        return InputError(
            f"Weights & Biases: {error} Without an account: logger.wandb.offline=true"
        )
    return None


def construct(key: str, settings: DictConfig, **arguments: Any) -> Any:
    """Instantiate an object of a library as the configuration at ``key`` says.

    Raises:
        InputError: what the library objects to, with the key.
    """
    try:
        return instantiate(settings, **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError) or error.__cause__ is None:
            raise
        raise InputError(f"the settings of {key} do not work: {error.__cause__}") from error


def _hush_libraries() -> None:
    """Leave out Lightning's advertising and what only its developers can mend."""
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.profilers").setLevel(logging.INFO)  # how profilers print
    for message in (".*isinstance.treespec, LeafSpec.*", "Experiment logs directory"):
        warnings.filterwarnings("ignore", message=message)


# What prints is outside the task, which Hydra's launchers pickle: a console cannot be.


def _take_leave() -> None:
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from gmrd.training.sweep import show_sweep  # only a sweep needs all that a table needs

        show_sweep()
    errors.print("interrupted: what was finished is kept", highlight=False)
    os._exit(130)  # at once: no waiting for pools and libraries to take leave


def _tell(error: Exception) -> None:
    errors.print(f"[bold red]error:[/] {_sentence(error)}", highlight=False)


def _sentence(error: Exception) -> str:
    if isinstance(error, MissingMandatoryValue):
        key = getattr(error, "full_key", None) or str(error).rsplit(" ", 1)[-1]
        return f"{key} is not set: add {key}=... to the command"
    return escape(str(error))
