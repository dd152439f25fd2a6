"""gmrd-predict with nothing trained, from files to files."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from gmrd.data.phantom import make_phantom
from gmrd.io.scan import Scan
from gmrd.predict.outputs import write_summary
from gmrd.predict.result import Segmentation
from gmrd.predict.settings import Settings
from helpers.commands import RunHere, environment
from helpers.loop import Threshold
from helpers.scans import affine, ball, write
from helpers.warm import Warm

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_phantom(tmp_path_factory.mktemp("phantom"), n_cases=2, seed=5, n_slices=12)


@pytest.fixture(scope="module")
def out(scans: Path, warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "found"
    result = warm.run(
        "gmrd.cli.predict",
        f"support.image={scans / 'image_1.nii.gz'}",
        f"support.label={scans / 'label_1.nii.gz'}",
        f"query={scans / 'image_2.nii.gz'}",
        f"out={folder}",
        "names={1: liver, 4: spleen}",
        "save_probabilities=true",
        "options.device=cpu",
        cwd=folder.parent,
        env=environment(COLUMNS="200"),
    )
    assert result.returncode == 0, result.stderr
    assert "est. Dice" in result.stdout
    return folder


def test_it_leaves_what_it_promises_and_nothing_else(out: Path) -> None:
    assert {file.name for file in out.iterdir()} == {
        "image_2_seg.nii.gz",
        "image_2.png",
        "image_2.html",
        "image_2_probability_liver.nii.gz",
        "image_2_probability_spleen.nii.gz",
        "index.html",
        "summary.json",
    }


def test_the_organ_is_found(out: Path, scans: Path) -> None:
    """Matched from one phantom to another."""
    found = np.asarray(nib.load(out / "image_2_seg.nii.gz").dataobj)
    true = np.asarray(nib.load(scans / "label_2.nii.gz").dataobj)
    assert set(np.unique(found)) <= {0, 1, 4}
    dice = [
        2 * ((found == v) & (true == v)).sum() / ((found == v).sum() + (true == v).sum())
        for v in (1, 4)
    ]
    assert min(dice) > 0.6


def test_the_summary_is_measured_on_the_files(out: Path) -> None:
    summary = json.loads((out / "summary.json").read_text())
    (scan,) = summary["scans"]
    labels = nib.load(out / "image_2_seg.nii.gz")
    voxel_ml = np.prod(labels.header.get_zooms()) / 1000
    for organ, value in {"liver": 1, "spleen": 4}.items():
        expected = (np.asarray(labels.dataobj) == value).sum() * voxel_ml
        assert scan["volumes_ml"][organ] == pytest.approx(expected, abs=0.01)
    assert all(0 <= dice <= 1 for dice in scan["estimated_dice"].values())
    assert summary["about"]["settings"]["options"]["extent"] == "aligned"


def test_the_summary_keeps_to_its_schema(out: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "docs" / "summary.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    summary = json.loads((out / "summary.json").read_text())
    jsonschema.validate(summary, schema)
    del summary["scans"][0]["volumes_ml"]
    with pytest.raises(jsonschema.ValidationError, match="volumes_ml"):
        jsonschema.validate(summary, schema)


def test_the_page_holds_everything_it_shows(out: Path) -> None:
    text = (out / "image_2.html").read_text()
    n_slices = nib.load(out / "image_2_seg.nii.gz").shape[2]
    slices = json.loads(re.search(r"const slices = (.*);", text).group(1))
    assert len(slices) == n_slices
    assert not re.search(r"(src|href)=[\"']?(https?:|//|\w+\.(js|css|png))", text)
    assert "default-src 'none'" in text


def test_refusals_are_a_sentence(
    support: tuple[Path, Path],
    tmp_path: Path,
    run_here: RunHere,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = write(tmp_path / "scan.nii.gz", ball(2)[0], affine())
    torn = tmp_path / "torn.nii.gz"
    torn.write_bytes(whole.read_bytes()[:1000])
    settings = (
        f"support.image={support[0]}",
        f"support.label={support[1]}",
        f"query={torn}",
        f"out={tmp_path / 'out'}",
    )
    assert run_here("predict", *settings) == 2
    said = capsys.readouterr().err
    assert "torn.nii.gz" in said.replace("\n", "")
    assert "Traceback" not in said


def test_a_folder_with_a_torn_scan_gives_the_others_and_status_1(
    support: tuple[Path, Path],
    tmp_path: Path,
    run_here: RunHere,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = write(tmp_path / "scans.nii.gz", ball(2)[0], affine())
    (tmp_path / "torn.nii.gz").write_bytes(whole.read_bytes()[:1000])
    settings = (
        f"support.image={support[0]}",
        f"support.label={support[1]}",
        f"query=[{whole},{support[0].parent},{tmp_path / 'torn.nii.gz'}]",
        f"out={tmp_path / 'out'}",
        "keep_support=false",
    )
    assert run_here("predict", *settings) == 1
    said = capsys.readouterr().out
    assert "[1/2] scans: label_1" in said
    assert "torn.nii.gz is damaged" in said
    assert "Annotate scans next" in said
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [scan["status"] for scan in summary["scans"]] == ["done", "failed"]
    assert run_here("predict", *settings) == 1
    assert "already done" in capsys.readouterr().out


def test_names_are_printed_as_they_are_written(
    support: tuple[Path, Path],
    tmp_path: Path,
    run_here: RunHere,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What Rich would take for markup, in an organ and in a file."""
    Threshold().replace_matching(monkeypatch)
    monkeypatch.setattr(Threshold, "organ", "[/b]all")
    query = write(tmp_path / "[red]a.nii.gz", ball(2)[0], affine())
    given = (f"support.image={support[0]}", f"support.label={support[1]}", f"query={query}")
    assert run_here("predict", *given, "out=out", "names={1: '[/b]all'}") == 0
    said = capsys.readouterr().out
    assert "[/b]all" in said
    assert "[red]a" in said


def batch(folder: Path, n: int, support: tuple[Path, Path]) -> list[str]:
    """Arguments that segment ``scan_1`` to ``scan_n``, which are written to ``folder/scans``."""
    (folder / "scans").mkdir()
    for number in range(1, n + 1):
        write(folder / "scans" / f"scan_{number}.nii.gz", ball(number)[0], affine())
    return [
        f"support.image={support[0]}",
        f"support.label={support[1]}",
        "query=scans",
        "out=out",
        "page=false",
    ]


@pytest.mark.parametrize(("ending", "status"), [("SIGKILL", -9), ("SIGTERM", -15), ("SIGINT", 130)])
def test_a_batch_that_is_ended_keeps_what_is_finished(
    run_here: RunHere,
    support: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    status: int,
) -> None:
    """Ended while the second of three scans is segmented; the same command then goes on."""
    given = batch(tmp_path, 3, support)
    threshold = Threshold()
    threshold.replace_matching(monkeypatch)
    fork = multiprocessing.get_context("fork")
    second_begun = fork.Event()

    def begin(scan: Scan) -> Segmentation:
        if scan.name == "scan_2":
            second_begun.set()
            time.sleep(60)
        return threshold(scan)

    with monkeypatch.context() as patched:
        patched.setattr(Settings, "predictor", lambda *_: begin)
        command = fork.Process(target=lambda: os._exit(int(run_here("predict", *given))))
        command.start()
        assert second_begun.wait(60)
        os.kill(command.pid, getattr(signal, ending))
        command.join(60)
    assert command.exitcode == status
    (scan,) = json.loads((tmp_path / "out" / "summary.json").read_text())["scans"]
    assert (scan["name"], scan["status"]) == ("scan_1", "done")
    assert all((tmp_path / "out" / file).is_file() for file in scan["files"].values())
    assert run_here("predict", *given) == 0
    assert threshold.seen == ["scan_2", "scan_3"]


def test_a_batch_that_cannot_go_on_keeps_what_is_finished(
    run_here: RunHere,
    support: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An error that is not of one scan: the second scan's entry cannot be written."""
    given = batch(tmp_path, 2, support)
    Threshold().replace_matching(monkeypatch)

    def write_one(path: Path, about: dict[str, Any], records: list[dict[str, Any]]) -> None:
        if len(records) > 1:
            raise ZeroDivisionError("a mistake of ours")
        write_summary(path, about, records)

    monkeypatch.setattr("gmrd.predict.batch.write_summary", write_one)
    monkeypatch.setenv("GMRD_CACHE", str(tmp_path / "cache"))
    assert run_here("predict", *given) == 2
    assert "a mistake of ours" in capsys.readouterr().err
    (scan,) = json.loads((tmp_path / "out" / "summary.json").read_text())["scans"]
    assert (scan["name"], scan["status"]) == ("scan_1", "done")
