"""gmrd: list the commands and what is installed; ``gmrd info --json`` is for programs."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import textwrap
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from rich.console import Console

from gmrd.cli.help import WIDTH
from gmrd.cli.keys import choices_of, command_names, page_of
from gmrd.io.cache_dir import default_cache_dir
from gmrd.processes import ending_with_reader

USAGE = """gmrd info [--json]: versions, devices, folders and available choices
gmrd-COMMAND --help: a command's purpose, examples and settings
"""

console = Console()


@ending_with_reader()
def main() -> None:
    """Console entry point; exit status 2 for an unknown word."""
    words = sys.argv[1:]
    if words in (["--version"], ["-V"]):
        print(f"gmrd {version('gmrd')}")
    elif words in (["info"], ["info", "--json"]):
        found = info()
        print(json.dumps(found, indent=2)) if "--json" in words else _print(found)
    elif not words or words[0] in ("--help", "-h", "help"):
        print(USAGE)
        for name in command_names():
            print(_wrapped(page_of(name).summary))
    else:
        Console(stderr=True).print(
            f"[bold red]error:[/] gmrd {' '.join(words)}: use gmrd info or gmrd --help; the other "
            f"commands are spelt with a hyphen, as gmrd-{words[0]}",
            highlight=False,
        )
        sys.exit(2)


def _wrapped(summary: str) -> str:
    return textwrap.fill(summary, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def info() -> dict[str, Any]:
    """What a program may want to know about this installation, as plain data."""
    import torch

    from gmrd.nn.lite import WEIGHTS, distribution

    return {
        "version": version("gmrd"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": _versions(),
        "commands": {f"gmrd-{name}": page_of(name).summary for name in command_names()},
        "experiments": list(choices_of("experiment")),
        "data_sets": list(choices_of("data")),
        "encoders": {name: _version(distribution(name)) is not None for name in WEIGHTS},
        "devices": _devices(torch),
        "weights": str(Path(__file__).parents[1] / "weights"),
        "downloads": str(Path(os.environ.get("TORCH_HOME", Path.home() / ".cache" / "torch"))),
        "cache": str(default_cache_dir()),
    }


def _versions() -> dict[str, str | None]:
    """Version of each package that gmrd or an extra depends on; None if not installed."""
    starts = (re.match(r"[\w.-]+", line) for line in requires("gmrd") or [])
    names = {start[0] for start in starts if start}
    return {name: _version(name) for name in sorted(names - {"gmrd"})}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices(torch: Any) -> list[str]:
    gpus = range(torch.cuda.device_count())
    return [f"cpu ({os.cpu_count()} cores)", *(torch.cuda.get_device_name(i) for i in gpus)]


def _print(found: dict[str, Any]) -> None:
    for key, value in found.items():
        if isinstance(value, dict):
            versions = key == "versions"
            value = [f"{n} {of}" if versions else n for n, of in value.items() if of]
        console.print(f"[bold]{key}[/]: {', '.join(value) if isinstance(value, list) else value}",
                      highlight=False)  # fmt: skip
