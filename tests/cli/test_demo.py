"""The main job through its commands, small: phantom to measured segmentation."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from helpers.commands import RunHere, environment
from helpers.files import csv_rows
from helpers.warm import Warm

QUICK = ["size=48", "n_cases=6", "trainer.max_steps=4", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def demo(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo")
    env = environment(PYTHONPATH=str(Path(__file__).parents[1]))
    done = warm.run("helpers.small_demo", "out=out", *QUICK, cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    return folder / "out", done.stdout


def test_the_demo_prints_a_table_of_three_methods(demo: tuple[Path, str]) -> None:
    _, printed = demo
    for words in (
        "nothing trained",
        "estimated",
        "liver",
        "spleen",
        "mean",
        "GMRD",
        "untrained",
        "prototype",
    ):
        assert words in printed


def test_predictions_lie_where_their_images_lie(demo: tuple[Path, str]) -> None:
    out, _ = demo
    predictions = sorted((out / "training" / "predictions").glob("*.nii.gz"))
    assert predictions
    for path in predictions:
        case = path.name.split("_")[1]
        image = nib.load(out / "data" / "phantom_normalized" / f"image_{case}.nii.gz")
        predicted = nib.load(path)
        np.testing.assert_allclose(predicted.affine, image.affine, atol=1e-5)
        assert predicted.shape == image.shape
        assert set(np.unique(predicted.dataobj)) <= {0, 1}
        assert (out / "training" / "pictures" / f"case_{case}.png").stat().st_size


def test_scores_are_written_for_people_and_programs(demo: tuple[Path, str]) -> None:
    out, _ = demo
    rows = csv_rows(out / "training" / "scores.csv")
    methods = {row["method"] for row in rows}
    assert len(methods) == 3
    summary = json.loads((out / "training" / "summary.json").read_text())
    assert set(summary["methods"]) == methods
    mean_of_rows = np.mean([float(r["dice"]) for r in rows if r["method"] == "GMRD"])
    assert summary["methods"]["GMRD"]["dice"]["mean"] == pytest.approx(mean_of_rows, abs=1e-6)


def test_a_checkpoint_is_evaluated_from_any_folder_and_scores_the_same(
    demo: tuple[Path, str], run_here: RunHere, tmp_path: Path
) -> None:
    out, _ = demo
    status = run_here(
        "evaluate",
        f"ckpt_path={out / 'training' / 'checkpoints' / 'last.ckpt'}",
        "data=phantom",
        f"data.root={out / 'data'}",
        "hydra.run.dir=again",
    )
    assert status == 0

    def scores(folder: Path) -> dict[str, dict[str, float]]:
        methods = json.loads((folder / "summary.json").read_text())["methods"]
        return {method: of_method["dice"] for method, of_method in methods.items()}

    # Hardly trained, the network itself finds nothing; prototypes of its features do.
    assert scores(out / "training")["one prototype"]["mean"] > 0.01
    assert scores(tmp_path / "again") == scores(out / "training")
