"""Odd downloads, scans, label maps, projects and settings end in one sentence and status 2."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from helpers.commands import RunHere

pytest.importorskip("pydicom", reason="DICOM: install gmrd[dicom]")
pytest.importorskip("SimpleITK", reason="DICOM: install gmrd[dicom]")

from helpers.odd_commands import Command, furnish, odd_commands


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("furnished")
    furnish(folder)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("odd", odd_commands(), ids=str)
def test_it_ends_in_one_sentence(
    odd: Command,
    run_here: RunHere,
    furnished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(furnished, tmp_path, dirs_exist_ok=True)
    if odd.before is not None:
        odd.before()
    assert run_here(*odd.given) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    (sentence,) = re.findall("^error: (.*)", said, re.MULTILINE)
    assert re.search(odd.says, sentence.lower())
