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

from gmrd.cli.composition import of_refusal
from gmrd.cli.keys import choices_of
from gmrd.cli.refusals import sentence
from gmrd.evaluation.jobs import key_of

PLAIN = re.compile(r"[\w./]+=[\w./-]*")

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
        if not wrong and (left_out := _left_out(found[1], given)):
            return f"{found[1]} cannot be set, because {left_out} leaves out what it belongs to"
        return _unknown_choice(*wrong[0]) if wrong else _unknown_key(found[1], command)
    if found := re.search(r"not supported: '\+\+([\w/]+)[\w@./:]*=(.*)'", str(error)):
        group, choice = found.groups()
        if _is_group(group) and choice in choices_of(group):
            return f"{group} takes one of its choices: write {group}={choice} without a +"
        return _unknown_choice(group, choice)
    if found := re.search(r"(?:find|load) '([^']+)'", str(error)):
        return _unknown_choice(*_group_and_choice(found[1]))
    if sentence(error) is None and _from_hydra(error):
        said = next((_unknown_choice(*wrong) for wrong in _no_choices(command, given)), None)
        return said or of_refusal(error) or _not_understood(given)
    return None


def _group_and_choice(place: str) -> tuple[str, str]:
    """The group and the choice that stand for a file of the configuration."""
    parts = place.split("/")
    for n in range(len(parts) - 1, 0, -1):
        group, choice = "/".join(parts[:n]), "/".join(parts[n:])
        if _is_group(group):
            return group, choice
    return "/".join(parts[:-1]), parts[-1]


def _is_group(name: str) -> bool:
    """Whether it is a group of gmrd's configuration, and not of Hydra's own."""
    parts = name.split("/")
    outside = parts[0] == "hydra" or {"", ".", ".."} & set(parts)
    return not outside and files("gmrd.conf").joinpath(name).is_dir()


def _from_hydra(error: Exception) -> bool:
    """Whether an error was raised while Hydra read the arguments, as for a choice that is not text.

    It raises errors of many types then, also ones of the libraries that it calls.
    """
    modules = [frame.f_globals["__name__"] for frame, _ in walk_tb(error.__traceback__)]
    ours = [place for place, module in enumerate(modules) if module.startswith("gmrd.")]
    hydras = [place for place, module in enumerate(modules) if module.startswith("hydra.")]
    return bool(hydras) and max(ours, default=-1) < hydras[0]


def _not_understood(given: Sequence[str]) -> str:
    """For errors without words: the arguments that are not a plain ``key=value``."""
    odd = [argument for argument in given if not PLAIN.fullmatch(argument)] or given
    return f"{' '.join(odd)[:300]} cannot be understood: write key=value, see --help"


def _no_choices(command: str, given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each group that is given something other than one of its choices, and what it is given."""
    groups = [key for key in _known(command) if _is_group(key)]
    for argument in given:
        group, value = key_of(argument).partition("@")[0], argument.partition("=")[2]
        if group in groups and value not in choices_of(group):
            yield group, value


def _left_out(key: str, given: Sequence[str]) -> str | None:
    """The argument, such as ``~data``, that takes a key's section out of the configuration."""
    away = (argument for argument in given if argument.startswith("~"))
    return next((argument for argument in away if key.startswith(f"{key_of(argument)}.")), None)


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
    if not _is_group(group):
        return f"{group}={choice} does not exist: it is a setting of Hydra: see --info"
    choices = list(choices_of(group))
    near = get_close_matches(choice, choices, n=1)
    hint = f"did you mean {near[0]}? Choose" if near else "choose"
    return f"{group}={choice} does not exist: {hint} one of {', '.join(choices)}"


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
