"""Workers of a killed command end with it, and a command with the reader of its output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

POOL = """
import os, sys, time
from joblib import Parallel, delayed
from gmrd.processes import as_worker

def work():
    open(sys.argv[1] + "/" + str(os.getpid()), "w").close()
    time.sleep(300)

Parallel(n_jobs=2)(delayed(as_worker)(os.getpid(), work) for _ in range(2))
"""

STARTER = """
import os, subprocess, sys
from gmrd.processes import PARENT
child = '''
import os, sys, time
from gmrd.processes import end_with_starter
end_with_starter()
open(sys.argv[1] + "/" + str(os.getpid()), "w").close()
time.sleep(300)
'''
environment = {**os.environ, PARENT: str(os.getpid())}
subprocess.run([sys.executable, "-c", child, sys.argv[1]], env=environment)
"""


def test_a_path_that_is_no_text_is_printed_escaped(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", "from gmrd.cli.cache import main; main()"],
        env=os.environ | {"GMRD_CACHE": os.fsdecode(b"c\xff"), "PYTHONIOENCODING": "utf-8"},
        cwd=tmp_path,
        capture_output=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(b"c\\udcff/supports: 0 files")


@pytest.mark.parametrize("name", ["cache", "overview", "export"])
def test_a_closed_stream_is_written_to_nowhere(name: str, tmp_path: Path) -> None:
    """Python has no such stream then, and a file that is opened next would get what is printed."""
    text = f"from gmrd.cli.{name} import main; main()"
    for closed in (">&-", ">&- 2>&-", "<&- >&- 2>&-"):
        command = f'exec "$0" -c "$1" {closed}'
        run = subprocess.run(
            ["sh", "-c", command, sys.executable, text], cwd=tmp_path, capture_output=True
        )
        assert run.returncode == (2 if name == "export" else 0)
        assert b"Traceback" not in run.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("overview", "--help"), ("overview", "info"), ("train", "-h")])
def test_a_command_ends_quietly_with_the_reader_of_its_output(words: tuple[str, ...]) -> None:
    """Of what Python prints (help), and of what Rich prints (info)."""
    name, *given = words
    text = f"import sys; sys.argv[1:] = {given}; from gmrd.cli.{name} import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rsplit(") ", 1)[1][0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="processes are told by /proc")
@pytest.mark.parametrize(("text", "n"), [(POOL, 2), (STARTER, 1)])
def test_they_end_when_the_parent_is_killed(tmp_path: Path, text: str, n: int) -> None:
    (tmp_path / "pids").mkdir()
    script = tmp_path / "script.py"
    script.write_text(text)
    parent = subprocess.Popen([sys.executable, script, tmp_path / "pids"])
    deadline = time.monotonic() + 120
    while len(os.listdir(tmp_path / "pids")) < n and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = [int(pid) for pid in os.listdir(tmp_path / "pids")]
    assert len(workers) == n
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers))
