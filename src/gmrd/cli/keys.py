"""The documentation in a configuration file: summary, examples, and each key's comment.

``--help`` and the command reference are both generated from it, so each key is explained in one
place only: its comment in ``conf/``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import dropwhile
from typing import Any

import yaml

KEY = re.compile(r"^( *)([\w@.]+):(?: +(.*))?$")
SKIPPED = ("defaults", "hydra")
"""Blocks for Hydra itself."""

BASES = ("data/episodes",)
"""Files that others in their group extend, and that cannot be chosen."""


@dataclass(frozen=True)
class Key:
    """A setting: its dotted name, its default as written in YAML, and its comment."""

    name: str
    default: str
    comment: str


@dataclass(frozen=True)
class Group:
    """A group of alternative files, as in ``data=chaost2``."""

    name: str
    default: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """The documentation in a configuration file.

    Attributes:
        summary: what it is for.
        examples: shell commands.
        notes: the rest of the file's head comment.
        base: the configuration that it extends; "" for none.
        groups: a command's groups of files.
        keys: the file's own settings.
    """

    summary: str
    examples: tuple[str, ...]
    notes: str
    base: str
    groups: tuple[Group, ...]
    keys: tuple[Key, ...]


def command_names() -> list[str]:
    """The commands, by the names of their configurations: ``train`` for ``gmrd-train``."""
    return sorted(e.name[:-5] for e in files("gmrd.conf").iterdir() if e.name.endswith(".yaml"))


def page_of(name: str) -> Page:
    """The documentation in ``conf/NAME.yaml``; ``name`` may be in a group, as ``data/chaost2``.

    A group with nothing but a file ``default`` is shared between commands rather than a choice: its
    keys are listed as the command's.
    """
    page = read_page(files("gmrd.conf").joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    shared = [group for group in page.groups if group.choices == ("default",)]
    keys = (
        replace(key, name=f"{group.name}.{key.name}")
        for group in shared
        for key in page_of(f"{group.name}/{group.default}").keys
    )
    return replace(
        page,
        groups=tuple(group for group in page.groups if group not in shared),
        keys=(*page.keys, *keys),
    )


def read_page(text: str) -> Page:
    """Parse the text of a configuration file."""
    summary, examples, notes = _head(text)
    defaults = (yaml.safe_load(text) or {}).get("defaults") or []
    bases = [d for d in defaults if isinstance(d, str) and d != "_self_"]
    return Page(
        summary=summary,
        examples=examples,
        notes=notes,
        base=bases[0] if bases else "",
        groups=tuple(_groups(defaults)),
        keys=tuple(_keys(text)),
    )


def choices_of(group: str) -> Iterator[str]:
    """All choices of a group: its files without :data:`BASES`, prefixed by the folder if in one."""
    for entry in sorted(files("gmrd.conf").joinpath(group).iterdir(), key=lambda e: str(e.name)):
        if entry.is_dir() and not entry.name.startswith("__"):
            yield from (f"{entry.name}/{choice}" for choice in choices_of(f"{group}/{entry.name}"))
        elif entry.name.endswith(".yaml") and f"{group}/{entry.name[:-5]}" not in BASES:
            yield entry.name[:-5]


def _head(text: str) -> tuple[str, tuple[str, ...], str]:
    before, examples, after = list[str](), list[str](), list[str]()
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if line.startswith("# @"):
            continue
        words = line[1:].strip()
        if line.startswith("#   gmrd-"):
            examples.append(words)
        else:
            (after if examples else before).append(words)
    return " ".join(before), tuple(examples), " ".join(after)


def _groups(defaults: list[Any]) -> Iterator[Group]:
    for entry in defaults:
        if not isinstance(entry, dict):
            continue
        ((key, choice),) = entry.items()
        if key.startswith(("override ", "optional ")):
            continue
        group, _, place = str(key).partition("@")
        name = place if place and not place.startswith("_") else group
        chosen = "null" if choice is None else str(choice)
        yield Group(str(key) if name == place else group, chosen, tuple(choices_of(group)))


def _keys(text: str) -> Iterator[Key]:
    """Keys with their dotted names; a section itself is not a key."""
    sections: list[tuple[int, str]] = []
    above: list[str] = []  # comment lines directly above
    lines = list(dropwhile(lambda line: line.startswith("#"), text.splitlines()))
    for index, line in enumerate(lines):
        found = KEY.match(line)
        if found is None:
            comment = line.strip()
            above = [*above, comment[1:].strip()] if comment.startswith("#") else []
            continue
        depth, name, rest = len(found[1]), found[2], found[3] or ""
        sections = [(d, n) for d, n in sections if d < depth]
        value, beside = _split_comment(rest)
        path = [n for _, n in sections] + [name]
        shown = path[0] not in SKIPPED and not name.startswith("_")
        if shown and (value or not _is_section(lines, index, depth)):
            yield Key(".".join(path), value or "null", beside or " ".join(above))
        if not value:
            sections.append((depth, name))
        above = []


def _is_section(lines: list[str], index: int, depth: int) -> bool:
    following = next((line for line in lines[index + 1 :] if line.strip()), "")
    return len(following) - len(following.lstrip()) > depth


def _split_comment(rest: str) -> tuple[str, str]:
    if rest.startswith("#"):
        return "", rest[1:].strip()
    value, _, comment = rest.partition(" #")
    return value.strip(), comment.strip()
