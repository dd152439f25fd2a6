"""gmrd-project from one annotated scan to a second, by commands and a file that is corrected."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from helpers.commands import RunHere
from helpers.scans import affine, ball, read, write

ROOT = Path(__file__).parents[2]


def test_the_loop_by_commands(
    support: tuple[Path, Path],
    tmp_path: Path,
    run_here: RunHere,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GMRD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "my scans").mkdir()
    for name in ("b", "c"):
        write(tmp_path / "my scans" / f"{name}.nii.gz", ball(ord(name))[0], affine())
    begin = (
        f"support.image={support[0]}",
        f"support.label={support[1]}",
        "query=my scans",
        "names={1: ball}",
        "page=false",
    )
    assert run_here("project", "folder=study", *begin) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "[2/2] c: ball" in said
    assert "2 scans, 0 of them annotated, 0 to segment; 1 supports" in said
    kept = yaml.safe_load(Path("study/project.yaml").read_text())
    assert kept["settings"] == {"names": {1: "ball"}, "page": False}
    truth = ball(ord("b"))[1]
    found = read(Path("study/drafts/b_seg.nii.gz"))[0]
    assert 2 * (found * truth).sum() / (found.sum() + truth.sum()) > 0.7
    shutil.copy(write(tmp_path / "corrected.nii.gz", truth, affine()), "study/drafts/b_seg.nii.gz")
    assert run_here("project", "folder=study", "run=false") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 scans, 1 of them annotated, 1 to segment; 2 supports" in said
    assert "annotated: b (drafts/b_seg.nii.gz)" in said
    assert run_here("project", "folder=study") == 0
    said = capsys.readouterr().out
    assert "[1/1] c: ball" in said
    assert "b: ball" not in said
    assert (read(Path("study/drafts/b_seg.nii.gz"))[0] == truth).all()
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "docs" / "summary.schema.json").read_text())
    jsonschema.validate(json.loads(Path("study/drafts/summary.json").read_text()), schema)
    assert run_here("project", "folder=study", "names={1: bright}", "again=true") == 0
    assert "c: bright" in capsys.readouterr().out


def test_what_a_project_lacks_is_said(
    support: tuple[Path, Path], run_here: RunHere, capsys: pytest.CaptureFixture[str]
) -> None:
    for settings, words in (
        ((), "folder is not set"),
        (("folder=study",), "study holds no project: to create one, add support.image=..."),
        (("folder=study", "out=x"), "a project keeps its drafts in study/drafts"),
        (("folder=study", "format=x"), "format=x: expected one of nifti, seg_nrrd"),
        (("folder=study", f"query={support[0]}"), "holds no project"),
    ):
        assert run_here("project", *settings) == 2
        assert words in " ".join(capsys.readouterr().err.split())
    assert not Path("study").exists()
