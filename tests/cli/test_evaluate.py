"""gmrd-evaluate: what a training scored itself, again; and nothing that the network has seen."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from helpers.commands import RunHere, Train
from helpers.files import csv_rows

PHANTOM_NETWORK = Path(__file__).parents[2] / "notebooks" / "phantom.pt"
OUT = Path("out")


@pytest.fixture(scope="module")
def trained(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that tests fold 1."""
    folder = tmp_path_factory.mktemp("trained")
    train(folder, "fold=1", "seed=3", "trainer.max_steps=1", "~callbacks.pictures")
    return folder


@pytest.fixture
def data(phantom: Path) -> tuple[str, ...]:
    """Settings of what is evaluated, and where to."""
    here = (f"hydra.run.dir={OUT}", "baselines=false")
    return ("data=phantom", "data.n_folds=3", f"data.root={phantom}", *here)


def test_scores_are_those_of_the_training_and_can_be_gathered(
    run_here: RunHere, trained: Path, data: tuple[str, ...]
) -> None:
    checkpoint = f"ckpt_path={trained}/checkpoints/last.ckpt"
    assert run_here("evaluate", checkpoint, *data, "fold=1") == 0
    assert (OUT / "scores.csv").read_text() == (trained / "scores.csv").read_text()
    about = json.loads((OUT / "summary.json").read_text())["about"]
    assert about == json.loads((trained / "summary.json").read_text())["about"]
    assert (about["seed"], about["trained_on"]) == (3, "phantom")

    assert run_here("crossval", f"collect={OUT}", "page=false") == 0
    assert (OUT / "table.md").is_file()
    assert not (OUT / "report.html").exists()
    assert run_here("crossval", f"collect={OUT}") == 0
    assert "data:image/png;base64" in (OUT / "report.html").read_text()

    config = OUT / "config.yaml"
    config.write_text(re.sub(r"root: .*", "root: elsewhere", config.read_text()))
    assert run_here("crossval", f"collect={OUT}") == 0, "without its data a run has no pictures"
    assert "data:image/png;base64" not in (OUT / "report.html").read_text()


def test_a_saved_mask_has_the_dice_that_is_reported(
    run_here: RunHere, data: tuple[str, ...], phantom: Path
) -> None:
    assert run_here("evaluate", f"ckpt_path={PHANTOM_NETWORK}", *data) == 0
    organs = ("liver", "right_kidney", "left_kidney", "spleen")
    found = {}
    for row in csv_rows(OUT / "scores.csv"):
        name = f"prediction_{row['case']}_{row['organ']}.nii.gz"
        mask = nib.load(OUT / "predictions" / name).get_fdata()
        label = nib.load(phantom / f"phantom_normalized/label_{row['case']}.nii.gz").get_fdata()
        truth = label == 1 + organs.index(row["organ"])
        found[name] = 2 * (mask * truth).sum() / (mask.sum() + truth.sum())
        assert float(row["dice"]) == pytest.approx(found[name])
        assert set(np.unique(mask)) == {0, 1}
    assert len(found) == 8
    assert max(found.values()) > 0.5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fold=0", "tests: score it on fold=1"),
        ("setting=2", "was trained in setting 1: use setting=1"),
    ],
)
def test_what_the_network_has_seen_is_not_scored(
    run_here: RunHere,
    trained: Path,
    data: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    override: str,
    message: str,
) -> None:
    fold = () if override.startswith("fold") else ("fold=1",)
    checkpoint = f"ckpt_path={trained}/checkpoints/last.ckpt"
    assert run_here("evaluate", checkpoint, *data, *fold, override) == 2
    assert message in " ".join(capsys.readouterr().err.split())
