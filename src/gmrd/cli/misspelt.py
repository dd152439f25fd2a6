"""Hydra's errors about a command line, in one sentence, with the closest valid name, if any."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from traceback import walk_tb
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from gmrd.cli.keys import choices_of
from gmrd.evaluation.jobs import key_of

PLUGINS = ("hydra/launcher", "hydra/sweeper")

ENTRIES = ("callbacks", "logger")
"""Sections whose entries are named by the user."""


def explained(error: Exception, command: str, given: Sequence[str]) -> str | None:
    """What is wrong with the arguments of ``gmrd-COMMAND``; None for other errors.

    Args:
        error: raised by Hydra.
        command: the command's name.
        given: the command's arguments.
    """
    if nameless := [argument for argument in given if argument.startswith("=")]:
        return f"{nameless[0]} has no name before its =: write key=value"
    if found := re.search(r"Could not override '([^']+)'", str(error)):
        wrong = [choice for choice in _no_choices(command, given) if choice[0] == found[1]]
        return _unknown_choice(*wrong[0]) if wrong else _unknown_key(found[1], command)
    if found := re.search(r"not supported: '\+\+([\w@./]+)=(.*)'", str(error)):  # a group's ++
        return _unknown_choice(found[1], found[2])
    if found := re.search(r"(?:find|load) '([\w@./]+)/([^/']+)'", str(error)):
        return _unknown_choice(found[1], found[2])
    if isinstance(error, (TypeError, ValueError)) and _from_hydra(error):
        said = next((_unknown_choice(*wrong) for wrong in _no_choices(command, given)), None)
        reason = str(error).partition(" : Override(")[0]
        return said or f"Hydra does not understand the arguments: {reason}"
    return None


def _from_hydra(error: Exception) -> bool:
    """Whether Hydra's own code raised an error, as it does if a group's choice is not text."""
    frames = list(walk_tb(error.__traceback__))
    return bool(frames) and frames[-1][0].f_globals["__name__"].startswith("hydra.")


def _no_choices(command: str, given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each group that is given something other than one of its choices, and what it is given."""
    groups = [key for key in _known(command) if files("gmrd.conf").joinpath(key).is_dir()]
    for argument in given:
        group, value = key_of(argument).partition("@")[0], argument.partition("=")[2]
        if group in groups and value not in choices_of(group):
            yield group, value


def _unknown_key(key: str, command: str) -> str:
    known = list(_known(command))
    section, _, name = key.rpartition(".")
    if key in known and name.isdigit():  # Hydra takes it for a text
        return f'{key} cannot be set by itself: set {section}, as in "{section}={{{name}: ...}}"'
    if key in known:
        return f"{key} has no such entries: to add some, write +{key}=..."
    near = get_close_matches(key, known, n=1) or _same_ending(key, known)
    hint = f"did you mean {near[0]}?" if near else f"gmrd-{command} --help lists them"
    new = f"; to add it, write +{key}=..." if section in ENTRIES else ""
    return f"{key} is not a setting of gmrd-{command}: {hint}{new}"


def _same_ending(key: str, known: Iterable[str]) -> list[str]:
    """Keys whose last part is similar, as ``trainer.max_steps`` for ``max_steps``."""
    ending = key.rsplit(".", 1)[-1]
    last = {name.rsplit(".", 1)[-1]: name for name in known}
    return [last[name] for name in get_close_matches(ending, last, n=1)]


def _unknown_choice(group: str, choice: str) -> str:
    if group in PLUGINS:
        return f"{group}={choice} is not installed: pip install 'gmrd[sweep]'"
    choices = list(choices_of(group))
    near = get_close_matches(choice, choices, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{group}={choice} does not exist. {hint}Choose one of {', '.join(choices)}"


def _known(command: str) -> Iterator[str]:
    """All keys and groups of a command's configuration."""
    GlobalHydra.instance().clear()
    with initialize_config_module("gmrd.conf", version_base="1.3"):
        cfg = compose(command, return_hydra_config=True)
    yield from (group for group in cfg.hydra.runtime.choices if not group.startswith("hydra/"))
    sections: Any = OmegaConf.to_container(cfg, resolve=False)
    yield from _names({key: value for key, value in sections.items() if key != "hydra"}, "")


def _names(section: Mapping[Any, Any], prefix: str) -> Iterator[str]:
    for key, value in section.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{key}.")
