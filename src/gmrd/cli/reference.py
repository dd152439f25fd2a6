"""The command reference, generated from the commands' configuration.

``python -m gmrd.cli.reference docs/commands.md docs/experiment-files.md`` writes it; a test checks
that the files are up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from gmrd.cli.keys import BASES, Key, Page, choices_of, command_names, page_of
from gmrd.io.atomic import replacing

HEADING = """# Commands

Generated from the comments in `conf/` by `make docs`; do not edit. A command's `--help` prints the
same.

Every command takes `key=value` settings; those marked "required" have no default. `group=name`
chooses a file of a group, and `-m key=a,b` runs one job per value. `gmrd-train --cfg job` prints
the final configuration. A misspelt key is refused with a suggestion. Paths may contain spaces,
brackets, commas and quotes, and may begin with `~`: quote them for the shell only
(`query="scan (1).nii"`).

Exit status: 0, success; 1, some of the work failed (a fold, one of several files, an inspection
with errors); 2, the command failed, for the reason given in one sentence; 130, interrupted by
Ctrl-C; 143, ended by SIGTERM after saving a checkpoint.

To complete settings with the Tab key in this shell: `eval "$(gmrd-train -sc install=bash)"` (or
`zsh`, `fish`), and likewise for every other command.
"""

EXPERIMENTS = """# The experiments

Generated from the head comments in `conf/experiment/` by `make docs`; do not edit. Run one with
`gmrd-train experiment=NAME` or `gmrd-crossval experiment=NAME`; [experiments.md](experiments.md)
explains these commands.
"""

GROUPS = ("data", "model", "optimizer", "scheduler", "loss", "variant", "trainer", "logger",
          "callbacks", "evaluation", "workers", "hparams_search", "debug")  # fmt: skip


def reference() -> str:
    """The reference of all commands and groups, in Markdown."""
    commands = (_command(name) for name in command_names())
    return "\n".join([HEADING, *commands, "# Groups\n", *map(_group, GROUPS)])


def experiments() -> str:
    """All experiments with their descriptions, in Markdown."""
    return "\n".join([EXPERIMENTS, *map(_experiment, choices_of("experiment"))])


def _command(name: str) -> str:
    page = page_of(name)
    parts = [f"## gmrd-{name}\n", _sentence(page.summary.partition(": ")[2]) + "\n"]
    parts.append("```sh\n" + "\n".join(page.examples) + "\n```\n")
    if page.notes:
        parts.append(page.notes + "\n")
    parts.append("\n".join(_table(page.keys)) + "\n")
    if page.base:
        parts.append(f"Also takes all settings of [gmrd-{page.base}](#gmrd-{page.base}).\n")
    elif page.groups:
        chosen = ", ".join(_linked(group.name, group.default) for group in page.groups)
        parts.append(f"Groups: {chosen}.\n")
    return "\n".join(parts)


def _linked(group: str, default: str) -> str:
    name = group.partition("@")[0]
    shown = f"`{group}={default}`"
    return f"[{shown}](#{name})" if name in GROUPS else f"`{shown.strip('`')}`"


def _group(group: str) -> str:
    pages = {choice: page_of(f"{group}/{choice}") for choice in choices_of(group)}
    lines = [f"## {group}\n"]
    for choice, page in pages.items():
        summary = page.summary.partition(f"{group}={choice}: ")[2] or page.summary
        lines.append(f"- `{choice}`: {_sentence(summary)}" if summary else f"- `{choice}`")
    bases = {
        base.partition("/")[2]: page_of(base) for base in BASES if base.startswith(f"{group}/")
    }
    keys = dict(_explained(group, bases | pages))
    return "\n".join([*lines, "", *(_table(list(keys.values())) if keys else ()), ""])


def _explained(group: str, pages: dict[str, Page]) -> Iterator[tuple[str, Key]]:
    """The commented keys, each once, by the names used on the command line.

    A file that others extend comes first: its values are the defaults.
    """
    seen = set()
    bases = {page.base for page in pages.values()}
    for choice, page in sorted(pages.items(), key=lambda entry: entry[0] not in bases):
        prefix = _package(f"{group}/{choice}", group)
        for key in page.keys:
            name = prefix + key.name
            if key.comment and name not in seen:
                seen.add(name)
                yield name, Key(name, key.default, key.comment)


def _package(path: str, group: str) -> str:
    first = files("gmrd.conf").joinpath(f"{path}.yaml").read_text(encoding="utf-8").splitlines()[0]
    package = first.removeprefix("# @package ") if first.startswith("# @package") else group
    return "" if package == "_global_" else f"{package}."


def _table(keys: tuple[Key, ...] | list[Key]) -> Iterator[str]:
    yield "| setting | default | |"
    yield "| --- | --- | --- |"
    for key in keys:
        default = "required" if key.default == "???" else f"`{key.default}`"
        yield f"| `{key.name}` | {_cell(default)} | {_cell(key.comment)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _experiment(name: str) -> str:
    page = page_of(f"experiment/{name}")
    text = "\n".join(part for part in (page.summary, page.notes) if part)
    parts = [f"## {name}\n", text + "\n"]
    if page.examples:
        parts.insert(1, "```sh\n" + "\n".join(page.examples) + "\n```\n")
    return "\n".join(parts)


def _sentence(text: str) -> str:
    first = text.split(" ")[0]
    return text if "=" in first or "." in first else text[:1].upper() + text[1:]


if __name__ == "__main__":
    for path, text in zip(sys.argv[1:], (reference(), experiments()), strict=True):
        with replacing(Path(path)) as temporary:
            temporary.write_text(text)
