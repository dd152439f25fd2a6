"""The notebooks run from top to bottom, with small settings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot
import pytest

from gmrd.data.phantom import make_phantom
from helpers.warm import Warm

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SMALL = {
    "1_data_and_supervoxels": {"size": 64, "min_size": 200},
    "2_one_episode_step_by_step": {"size": 64, "checkpoint": NOTEBOOKS / "phantom.pt"},
    "3_predict_your_own_scan": {"size": 64},
    "4_results_from_wandb": {"size": 48, "steps": 8},
    "5_annotate_predict_correct": {"size": 64, "n_cases": 3},
}


def cells(name: str) -> list[tuple[str, bool]]:
    """Source of every code cell, and whether it holds the settings."""
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())
    return [
        ("".join(cell["source"]), "settings" in cell["metadata"].get("tags", []))
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def test_every_notebook_is_run() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(SMALL)


@pytest.fixture(scope="session")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for temporary files that outlasts the test: wandb keeps to the one it first sees."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture
def few_slices(monkeypatch: pytest.MonkeyPatch, warm: Warm, tmp_path: Path) -> None:
    """Phantoms of 12 slices, as matching takes half a second for each; also of the demo."""
    monkeypatch.setattr("gmrd.data.phantom.make_phantom", partial(make_phantom, n_slices=12))

    usual = subprocess.run

    def run(command: Sequence[str], **given: Any) -> None:
        if command[:3] != [sys.executable, "-c", "from gmrd.cli.demo import main; main()"]:
            usual(command, **given)
            return
        env = {**given["env"], "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
        done = warm.run("helpers.small_demo", *command[3:], cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr

    monkeypatch.setattr("subprocess.run", run)


@pytest.mark.usefixtures("few_slices")
@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_runs(
    name: str, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    scope: dict[str, object] = {"__name__": "__main__"}
    n_settings = 0
    for source, is_settings in cells(name):
        exec(compile(source, f"{name}.ipynb", "exec"), scope)
        if is_settings:
            n_settings += 1
            assert SMALL[name].keys() <= scope.keys(), "a setting that the notebook does not have"
            scope.update(SMALL[name])
    assert n_settings == 1
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize("name", SMALL)
def test_no_output_is_kept(name: str) -> None:
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())
    assert all(not cell.get("outputs") for cell in notebook["cells"])
