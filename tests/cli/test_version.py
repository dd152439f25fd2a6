"""``--version`` is the package's, not Hydra's."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from helpers.commands import RunHere


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "convert", "demo"])
def test_version(name: str, run_here: RunHere, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(name, "--version") == 0
    assert capsys.readouterr().out.strip() == f"gmrd {version('gmrd')}"
