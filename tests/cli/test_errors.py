"""Whatever goes wrong in a command ends in one sentence and status 2."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from gmrd.cli.refusals import KEPT, defect, sentence
from helpers.commands import RunHere


@pytest.fixture
def given(support: tuple[Path, Path]) -> list[str]:
    image, label = support
    return [f"support.image={image}", f"support.label={label}", f"query={image}"]


def last_line(text: str) -> str:
    assert "Traceback" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["out=file"], "a file is in the way of a folder"),
        (["out=file/below"], "a file is in the way of a folder"),
        (["out=/proc/none"], "cannot be written"),
        (["out=out", "query=1"], "does not exist"),
        (["out=out", "query=a(1).nii"], "does not exist"),
        (["out=out", "query=a=b"], "does not exist"),
        (["out=out", "names={1: ["], "with quotes"),
        (["out=out", "names={0: air}"], "0 is the background"),
        (["out=out", "names={1: ' '}"], "1 has a blank name"),
        (["out=out", "names={1: a, 2: a}"], "two label values"),
        (["out=out", "names={1: a, 1: b}"], "gives 1 more than once"),
        (["out=out", "names={}"], "names is empty"),
        (["out=out", "options.margin=nan"], "options.margin=nan: expected a number"),
        (["out=out", "options.margin=inf"], "options.margin=inf: expected a number"),
        (["out=out", "options.margin=x"], "options.margin=x: expected a number"),
        (["out=out", "options.batch_size=1.5"], "expected a whole number"),
        (["out=out", "options.n_support_slices=0"], "expected a whole number, 1 or more"),
        (["out=out", "intensity={window: [5, 1]}"], "the lowest value, then a higher one"),
        (["out=out", "intensity={window: [5, 5]}"], "the lowest value, then a higher one"),
        (["out=out", "intensity={clip_percentile: 101}"], "from 0 to 100"),
        (["out=out", "foo=1"], "foo is not a setting of gmrd-predict"),
        (["out=out", f"query={'n' * 300}.nii"], "name too long"),
    ],
)
def test_predict_refuses_in_one_sentence(
    run_here: RunHere,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    given: list[str],
    settings: list[str],
    words: str,
) -> None:
    (tmp_path / "file").touch()
    assert run_here("predict", *given, *settings) == 2
    assert words.lower() in last_line(capsys.readouterr().err).lower()


def test_all_that_is_missing_is_named_at_once(
    run_here: RunHere, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("predict") == 2
    said = last_line(capsys.readouterr().err)
    assert all(key in said for key in ("out=...", "query=...", "support.image=..."))


def test_prepare_names_the_key_that_it_has(
    run_here: RunHere, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("prepare", "source=there") == 2
    said = last_line(capsys.readouterr().err)
    assert "add root=..." in said
    assert "data.root" not in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_what_may_not_be_read_or_written_is_said(
    run_here: RunHere, capsys: pytest.CaptureFixture[str], tmp_path: Path, given: list[str]
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    for settings in (["out=closed"], ["out=out", "query=closed/a.nii"]):
        assert run_here("predict", *given, *settings) == 2
        assert "closed" in last_line(capsys.readouterr().err)


def test_a_defect_says_where_its_traceback_is(
    run_here: RunHere,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a [/mistake] of ours")

    monkeypatch.setenv("GMRD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gmrd.cli.predict.support_pairs", fail)
    assert run_here("predict", *given, "out=out") == 2
    (file,) = (tmp_path / "cache" / "defects").iterdir()
    said = last_line(capsys.readouterr().err)
    assert str(file) in said
    assert "a [/mistake] of ours" in said
    assert "in fail" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_only_the_last_tracebacks_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GMRD_CACHE", str(tmp_path))
    for _ in range(KEPT + 3):
        defect(ValueError("x"))
    assert len(list((tmp_path / "defects").iterdir())) == KEPT


def test_memory_and_the_system_are_no_defects() -> None:
    assert "memory" in str(sentence(MemoryError()))
    assert sentence(PermissionError(13, "Permission denied", "a")) == "a: Permission denied"
    assert sentence(KeyError("x")) is None


def test_a_pipe_to_a_worker_that_breaks_is_said(
    run_here: RunHere,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
) -> None:
    """Only where the reader of the output has gone does a command end in silence."""

    def fail(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("gmrd.cli.predict.support_pairs", fail)
    assert run_here("predict", *given, "out=out") == 2
    assert "Broken pipe" in last_line(capsys.readouterr().err)
