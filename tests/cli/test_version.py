"""``--version`` is the package's, not Hydra's; every command is installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path

import pytest

from gmrd.cli.keys import command_names
from helpers.commands import RunHere


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "convert", "demo"])
def test_version(name: str, run_here: RunHere, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(name, "--version") == 0
    assert capsys.readouterr().out.strip() == f"gmrd {version('gmrd')}"


def test_every_command_is_installed() -> None:
    found = {e.name: e for e in distribution("gmrd").entry_points if e.group == "console_scripts"}
    assert found.keys() == {"gmrd", *(f"gmrd-{name}" for name in command_names())}
    assert all(callable(entry.load()) for entry in found.values())
    folder = Path(sys.executable).parent
    assert all((folder / name).is_file() for name in found)
    said = subprocess.check_output([folder / "gmrd-demo", "--version"], text=True)
    assert said.strip() == f"gmrd {version('gmrd')}"
