"""Temporary folders are private, and go also when their process was killed."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gmrd.io.temporary import remove_leftovers, temporary_folder

HOLD = """
import time
from gmrd.io.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "patient.nii").touch()
    print(folder, flush=True)
    time.sleep(100)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_folder_is_its_owners_and_goes(temporary: Path) -> None:
    with temporary_folder() as folder:
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
        (folder / "a").touch()
        remove_leftovers()
        assert (folder / "a").is_file()
    assert not list(temporary.iterdir())


def test_what_a_killed_process_left_goes_with_the_next(temporary: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    held = Path(process.stdout.readline().strip())
    remove_leftovers()
    assert (held / "patient.nii").is_file()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (held / "patient.nii").is_file()
    with temporary_folder():
        assert not held.exists()


def test_folders_of_others_are_left(temporary: Path) -> None:
    (temporary / "gmrd-mine").mkdir()
    (temporary / "gmrd-mine" / "notes").touch()
    remove_leftovers()
    assert (temporary / "gmrd-mine" / "notes").is_file()
