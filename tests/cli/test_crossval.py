"""gmrd-crossval from trainings to table and page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.commands import Command, RunHere


def test_a_fold_that_fails_leaves_the_table_of_the_others(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    broken = out / "seed_0/fold_0/group_0/checkpoints/last.ckpt"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"half a file")
    run = command("gmrd.cli.crossval", "folds=[0,1]", f"out={out}", "trainer.max_steps=1")
    assert run.returncode == 1, run.stderr[-3000:]
    said = " ".join(run.stdout.split())
    assert "failed (status 2)" in said
    assert "last.ckpt" in said.split("failed (status 2)")[1], "the reason is not told"
    table = json.loads((out / "table.json").read_text())
    assert table["about"]["folds"] == "1"
    assert table["about"]["distinct scored cases"] == 2
    assert {"protocol", "variant", "support", "data"} <= table["about"].keys()
    assert set(table["scores"]["hd95"]) == {
        "liver", "right_kidney", "left_kidney", "spleen", "mean",
    }  # fmt: skip
    assert "data:image/png;base64" in (out / "report.html").read_text()
    assert (out / "cases.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("folds=[]",), "leave nothing to train"),
        (("devices=0",), 'such as "devices=[0]"'),
        (("data.root=null",), "data.root is not set"),
        (("setting=2", "data.test_groups=[]"), "has no data.test_groups"),
        (("evaluate=false",), "use gmrd-train -m"),
        (("seed=7",), "sets seed for each training: use seeds=[0] instead"),
        (("folds=[0,5]",), "fold=5 is out of range"),
    ],
)
def test_a_plan_that_cannot_work_begins_no_training(
    run_here: RunHere,
    tiny: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    overrides: tuple[str, ...],
    message: str,
) -> None:
    assert run_here("crossval", *tiny, *overrides, "out=out") == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("collect", "message"),
    [("typo", "typo contains no finished run"), ("[a,b]", "collect=['a', 'b']: expected a file")],
)
def test_a_misspelt_folder_of_runs_is_not_made(
    run_here: RunHere, capsys: pytest.CaptureFixture[str], collect: str, message: str
) -> None:
    assert run_here("crossval", f"collect={collect}") == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(Path.cwd().iterdir())
