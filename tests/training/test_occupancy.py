"""Two trainings never share a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gmrd.errors import InputError
from gmrd.training.occupancy import alone_in

HELD = """
import sys, time
from pathlib import Path
from gmrd.training.occupancy import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""


def test_a_folder_is_free_again_after_the_training(tmp_path: Path) -> None:
    for _ in range(2):
        with alone_in(tmp_path / "run"):
            pass


def test_a_second_training_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    """However it goes: a kill leaves no stale lock."""
    first = subprocess.Popen(
        [sys.executable, "-c", HELD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    with (
        pytest.raises(InputError, match="another training runs in this folder"),
        alone_in(tmp_path),
    ):
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    with alone_in(tmp_path):
        pass
