"""What Hydra and OmegaConf say of a configuration that cannot be composed, in plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hydra.errors import ConfigCompositionException
from omegaconf.errors import GrammarParseError, InterpolationResolutionError

REFERENCES = (InterpolationResolutionError, GrammarParseError)
"""OmegaConf's errors about ``${...}`` in a value."""

BROKEN_REFERENCES = {
    r"Interpolation key '(.+?)' not found": "{} is not a setting",
    r"Environment variable '(.+?)' not found": "the environment variable {} is not set",
    r"Unsupported interpolation type (\S+)": "there is no function {}",
    r"Recursive interpolation": "it leads back to itself",
}
"""Patterns of OmegaConf's words, and ours."""

HYDRAS_OWN = re.compile(r"[+~]*hydra\b")
"""An argument about Hydra's own settings."""

REFUSED = {
    r"Ambiguous value for argument '([^=]+)=(.*?)'$": (
        "{0}={1} holds a comma: write {0}=[{1}] for a list, \"{0}='{1}'\" for a text, or add -m "
        "to run one job per value"
    ),
    r"Could not append to config\. An item is already at '(.+?)'": (
        "{0} exists already: write {0}=... without a +"
    ),
    r"Could not delete from config\. The value of '(.+?)' is (.*) and not (.*)\.$": (
        "{0} is {1}, not {2}: write ~{0} to leave it out whatever its value"
    ),
    r"Could not delete ''": "~ has no name behind it: write ~KEY to leave KEY out",
    r"Could not delete '(.+?)'\. No match in the defaults list": (
        "~{0}: that was not chosen, so it cannot be left out"
    ),
    r"Could not delete from config\. '(.+?)' does not exist": "there is no {0} to leave out",
    r"Error resolving interpolation '(.+?)'": (
        "{0} cannot be resolved where a section's choice is named: write the name of the choice"
    ),
    r"Config group override deletion value must be a string .*input_line='(.+?)'": (
        "{0}: write ~KEY to leave a section out, or ~KEY=NAME for one choice of it"
    ),
    r"Config group override must be a string or a list. Got": (
        "a section takes the name of one of its choices, not a number or null"
    ),
    r"Override (.+) looks like a config group override, but config group '(.+?)' does not exist": (
        "{0}: {1} is not a section with choices: write key=value, with dots in the key"
    ),
    r"Sweep parameters '(.+?)' requires --multirun": (
        "{0} stands for several values: add -m to run one job per value"
    ),
    r"Sweeping over Hydra's configuration is not supported : '(.+?)'": (
        "{0} stands for several values, and settings of Hydra take one"
    ),
    r"hydra\.searchpath must be a list of strings. Got: (.*)": (
        'hydra.searchpath={0}: expected a list, such as "hydra.searchpath=[file:///folder]"'
    ),
    r"Additional config directory '(.+?)' not found": "--config-dir: {0} is not a folder",
    r"Cannot find primary config '(.+?)'": (
        "--config-name={0}: no file of that name is in the folder that --config-path names"
    ),
    r"Primary config (?:module|directory)": (
        "--config-path: there is no such folder: write its absolute path"
    ),
    r"The --resolve flag can only": "--resolve needs --cfg beside it",
    r"Only one of --run, --multirun": (
        "--run, --multirun, --cfg, --info and --shell-completion exclude each other"
    ),
    r"Expecting one subcommand from": (
        "--shell-completion needs install=bash, uninstall=bash or query=bash behind it"
    ),
    r"No completion plugin for '(.+?)'": "--shell-completion: {0} is neither bash, fish nor zsh",
    r"^File (.+) does not exist!": "--experimental-rerun={0}: there is no such file",
    r"Error locating target '(.+?)'.*full_key: (\S+)": "{1}._target_={0}: there is no such class",
}
"""Patterns of Hydra's words, and ours."""


def of_reference(error: BaseException) -> str:
    """What is wrong with ``${...}``, one of :data:`REFERENCES`."""
    key = getattr(error, "full_key", None) or "a setting"
    reason = _first(BROKEN_REFERENCES, str(error))
    reason = reason or "write ${key} for another setting, or ${oc.env:VARIABLE}"
    return f"{key}: the reference ${{...}} in its value cannot be resolved: {reason}"


def of_refusal(error: BaseException) -> str | None:
    """What is wrong with the arguments, where Hydra's words are known; else None."""
    said = str(error)
    if found := re.match(r"Error merging override (.*)", said, re.DOTALL):
        return f"{found[1]}: {_of_merging(found[1], error.__cause__)}"
    return _first(REFUSED, said)


def of_anything(error: BaseException) -> str:
    """Hydra's own words in one line."""
    said = [line.strip() for line in str(error).splitlines() if "full_key" not in line]
    if isinstance(error, ConfigCompositionException) and error.__cause__ is not None:
        said.insert(1, str(error.__cause__).splitlines()[0])
    lines = [line for line in said if line and "object_type" not in line and "hydra.cc" not in line]
    return ". ".join(line.rstrip(".") for line in lines)


def _of_merging(override: str, reason: BaseException | None) -> str:
    """Why a value cannot be set."""
    said = str(reason)
    if HYDRAS_OWN.match(override):
        return "not possible for this setting, which is Hydra's own: --cfg hydra lists their values"
    if said.startswith("Cannot merge"):
        return "a list cannot replace a mapping, nor a mapping a list"
    if found := re.match(r"Index '?(.*?)'? \(\w+\) is not an int|.*list index out of range", said):
        entry = f"it has no entry {found[1]}" if found[1] else "it has no such entry"
        return f"the setting is a list, and {entry}: write the whole list, as in key=[a,b]"
    return said.splitlines()[0]


def _first(words: Mapping[str, str], said: str) -> str | None:
    """Our words for the first pattern that is found."""
    for pattern, ours in words.items():
        if found := re.search(pattern, said, re.DOTALL | re.MULTILINE):
            return ours.format(*found.groups())
    return None
