"""What all commands share: Hydra's command line, and errors as one sentence."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue
from rich.console import Console
from rich.markup import escape

from gmrd.cli import misspelt
from gmrd.cli.arguments import refuse_repeated_keys, with_quoted_paths
from gmrd.cli.declared import fitted_keys
from gmrd.cli.help import help_text
from gmrd.cli.keys import BASES, choices_of
from gmrd.cli.refusals import defect, sentence
from gmrd.components import allowing
from gmrd.data.root import root_of
from gmrd.errors import InputError
from gmrd.processes import ending_with_reader, is_unread

CONFIG_PATH = "pkg://gmrd.conf"

HYDRA_HELP = "--hydra-help"

FULL_ERROR = "HYDRA_FULL_ERROR"

NEED_DATA = ("train", "crossval", "evaluate", "inspect")

LACKING = re.compile(r"missing (?:a|\d+) required .*arguments?: (.*)")
"""Python's words for a call without an argument that has no default."""

errors = Console(stderr=True)


def command(
    config_name: str, refuse: Callable[[DictConfig], None] = lambda cfg: None
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Turn ``task(cfg)`` into a console command with the packaged configuration ``config_name``.

    ``refuse`` raises for missing settings. It runs before the values are checked, because that
    imports libraries, which takes seconds.

    Every error, including Hydra's own, ends as one sentence with exit status 2. In a multirun a
    job's error is raised: the sweep records the job as failed and continues, and the first error
    is reported at the end.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        @hydra.main(version_base="1.3", config_path=CONFIG_PATH, config_name=config_name)
        def explained(cfg: DictConfig) -> Any:
            _hush_libraries()
            try:
                _refuse_unset(cfg, config_name)
                refuse(cfg)
                fitted_keys(config_name, cfg)
                with allowing(cfg.get("allow") or []):
                    return task(cfg)
            except Exception as error:
                if HydraConfig.get().mode == RunMode.MULTIRUN:
                    raise
                _leave_no_trace()
                _end(_all_missing(cfg) if isinstance(error, MissingMandatoryValue) else error)
            except KeyboardInterrupt:
                _end_interrupted()
            except SystemExit as ended:
                if isinstance(ended.__context__, KeyboardInterrupt):  # Lightning exits like this
                    _end_interrupted()
                raise

        sent: Any = explained  # launchers pickle its task

        @wraps(sent.__wrapped__)
        @ending_with_reader()
        def entry() -> Any:
            given = sys.argv[1:]
            if "--version" in given:  # Hydra would print its own
                print(f"gmrd {version('gmrd')}")
                return None
            if {"--help", "-h"} & set(given):
                print(help_text(config_name))
                return None
            sys.argv[1:] = with_quoted_paths(sorted(given, key=_is_setting))
            if HYDRA_HELP in given:  # it is shown for a configuration of Hydra's alone
                sys.argv[1:] = [HYDRA_HELP]
            try:
                refuse_repeated_keys(sys.argv[1:])
                _refuse_wrong_options()
                _refuse_bases(given)
                with _raising():
                    return sent()
            except Exception as error:
                _end(_explained(error, config_name, given))
            except KeyboardInterrupt:  # before the task
                os._exit(130)

        return entry

    return decorate


@contextmanager
def _raising() -> Iterator[None]:
    """Make Hydra raise errors outside the task instead of printing them."""
    before = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    finally:
        os.environ.pop(FULL_ERROR, None)
        if before is not None:
            os.environ[FULL_ERROR] = before


def _explained(error: Exception, config_name: str, given: Sequence[str]) -> Exception:
    """An error before the task, with a better sentence where there is one."""
    try:
        slip = misspelt.explained(error, config_name, given)
    except Exception as ours:  # whatever happens, no traceback is shown
        return ours
    return error if slip is None else InputError(slip)


def _refuse_wrong_options() -> None:
    """Parse Hydra's options once before Hydra does, which would print its usage and exit."""
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise InputError(
            f"{message}: settings are written key=value, after all options: see {parser.prog} "
            "--help"
        )

    parser.error = refuse  # type: ignore[method-assign]
    parser.parse_args()


def _refuse_bases(given: Sequence[str]) -> None:
    """Refuse a file that others extend where one of these must be chosen."""
    for argument in given:
        group, _, choice = argument.partition("=")
        if f"{group}/{choice}" in BASES:
            raise InputError(
                f"{argument} holds only what the others share: choose one of "
                f"{', '.join(choices_of(group))}"
            )


def _is_setting(argument: str) -> bool:
    """Whether it is not ``-m``, which Python's parser only accepts before the settings."""
    return argument not in ("-m", "--multirun")


def _all_missing(cfg: DictConfig) -> InputError:
    """One error for all keys that are not set."""
    keys = sorted(OmegaConf.missing_keys(cfg))
    given = " ".join(f"{key}=..." for key in keys)
    verb = "is" if len(keys) == 1 else "are"
    return InputError(f"{', '.join(keys)} {verb} not set: add {given} to the command")


def _refuse_unset(cfg: DictConfig, config_name: str) -> None:
    """Refuse missing settings before slow imports."""
    if OmegaConf.missing_keys(cfg):
        raise _all_missing(cfg)
    if any(given.startswith("model=[") for given in HydraConfig.get().overrides.task):
        raise InputError(
            "model takes one choice, after which the run is named: a model that extends another "
            "names it under defaults in a file of its own"
        )
    if config_name in NEED_DATA and not cfg.get("collect"):
        root_of({key: cfg.data.get(key) for key in ("root", "name", "images", "how_to_get")})


def construct(key: str, settings: DictConfig, **arguments: Any) -> Any:
    """Instantiate the object that the configuration at ``key`` describes.

    Raises:
        InputError: the library refuses the settings; the message names the key.
    """
    if "_target_" not in settings:
        raise InputError(f"{key} has no _target_, its class: leave out ~{key} or set {key}=NAME")
    try:
        return instantiate(settings, **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, InputError) or cause is None:
            raise
        if lacking := LACKING.search(str(cause)):
            raise InputError(f"{key} lacks {lacking[1]}") from error
        said = sentence(cause) or cause
        raise InputError(f"the settings of {key} do not work: {said}") from error


def _hush_libraries() -> None:
    """Silence Lightning's tips and the warnings meant for its developers.

    Its logger itself is not set: importing Lightning would reset that. Its profilers print as INFO.
    """
    for name in ("callbacks", "trainer", "utilities.rank_zero"):
        logging.getLogger(f"pytorch_lightning.{name}").setLevel(logging.WARNING)
    for message in (
        ".*isinstance.treespec, LeafSpec.*",
        "Experiment logs directory",
        "You requested to overfit but enabled train dataloader shuffling",  # nothing is shuffled
    ):
        warnings.filterwarnings("ignore", message=message)


# Printing happens outside the task, because launchers pickle the task and a console cannot be.


def _end_interrupted() -> None:
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from gmrd.training.sweep import show_sweep  # slow to import, and only sweeps need it

        show_sweep()
    errors.print("interrupted: finished results are kept", highlight=False)
    os._exit(130)  # at once, without waiting for pools and libraries


def _leave_no_trace() -> None:
    """Delete the folder that Hydra made for this run if nothing else was written into it.

    Otherwise a misspelt ``collect=`` would leave the folder that it names.
    """
    config = HydraConfig.get()
    folder, records = Path(config.runtime.output_dir), config.output_subdir
    written = {records, f"{config.job.name}.log"}
    if records is None or {path.name for path in folder.iterdir()} - written:
        return
    if (folder / records).is_dir() and folder != Path.cwd():
        shutil.rmtree(folder, ignore_errors=True)


def _tell(error: BaseException) -> None:
    said = sentence(error) or defect(error)
    errors.print(f"[bold red]error:[/] {escape(said)}", highlight=False, soft_wrap=True)


def _end(error: Exception) -> NoReturn:
    if is_unread(error):
        raise error
    _tell(error)
    sys.exit(2)
