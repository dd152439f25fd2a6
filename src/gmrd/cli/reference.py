"""The command reference, written from the configuration that the commands read.

``python -m gmrd.cli.reference docs/commands.md`` writes it; a test holds the file to the
configuration.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from gmrd.io.atomic import replacing

HEADING = """# Commands

Written from the configuration by `python -m gmrd.cli.reference docs/commands.md`; do not edit.

Every command takes `key=value` settings. `gmrd-train --cfg job` shows all settings as they would
be used, `--help` the choices of every group. `???` must be given; `group=name` chooses a file of
a group; `-m key=a,b` runs one job for each value. A misspelt key is refused.
"""


def reference() -> str:
    """The whole reference, in Markdown."""
    return "\n".join([HEADING, *_commands(), "# Groups\n", *_groups()])


def _commands() -> Iterator[str]:
    for entry in _sorted(files("gmrd.conf")):
        if entry.name.endswith(".yaml"):
            yield f"## gmrd-{entry.name[:-5]}\n\n```yaml\n{entry.read_text().rstrip()}\n```\n"


def _groups() -> Iterator[str]:
    for group in _sorted(files("gmrd.conf")):
        if group.is_dir() and not group.name.startswith("__"):
            choices = list(_choices(group, ""))
            if choices:
                yield f"## {group.name}\n\n" + "\n".join(choices) + "\n"


def _choices(folder: Any, prefix: str) -> Iterator[str]:
    for entry in _sorted(folder):
        if entry.is_dir() and not entry.name.startswith("__"):
            yield from _choices(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml"):
            yield f"- `{prefix}{entry.name[:-5]}`{_comment(entry.read_text())}"


def _comment(text: str) -> str:
    """The sentence that a configuration file begins with."""
    lines = text.splitlines()
    if not lines or not lines[0].startswith("# ") or lines[0].startswith("# @"):
        return ""
    return ": " + lines[0][2:].strip()


def _sorted(folder: Any) -> list[Any]:
    return sorted(folder.iterdir(), key=lambda entry: str(entry.name))


if __name__ == "__main__":
    with replacing(Path(sys.argv[1])) as temporary:
        temporary.write_text(reference())
