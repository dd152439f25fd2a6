"""Commands that start with the libraries already loaded.

Loading them takes a command longer than most of what tests let it do. So one process loads them and
is forked for each command, which is then a process of its own: it runs as ``__main__``, gets
signals, and ends with an exit status. The process that is forked runs nothing itself and has no
threads, unlike the one of the tests.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOADED = (
    "pytorch_lightning", "monai.transforms", "hydra.main", "gmrd.module", "gmrd.evaluation.fold",
    "gmrd.training.callbacks",
)  # fmt: skip


class Warm:
    """Runs commands as forks of one process, which the first of them starts; one at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._apart: int | None = None

    def run(
        self, module: str, *arguments: str, cwd: Path, env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python -m module *arguments``."""
        with self.running(module, *arguments, cwd=cwd, env=env) as command:
            pass
        return command.done()

    @contextmanager
    def running(
        self, module: str, *arguments: str, cwd: Path, env: Mapping[str, str], apart: bool = False
    ) -> Iterator[Running]:
        """Such a command while it runs; leaving the context waits for its end.

        Args:
            module: as all that follows, see :meth:`run`.
            arguments: as said.
            cwd: as said.
            env: as said.
            apart: the command leads a session and group of its own, which can be signalled.
        """
        process = self._process or self._started()
        with tempfile.TemporaryDirectory() as folder:
            printed = [Path(folder) / name for name in ("out", "err")]
            argv = [module, *arguments]
            request = {"argv": argv, "cwd": str(cwd), "env": dict(env), "apart": apart}
            try:
                print(json.dumps(request | {"printed": list(map(str, printed))}),
                      file=process.stdin, flush=True)  # fmt: skip
                command = Running(argv, int(process.stdout.readline()))
                self._apart = command.pid if apart else None
                yield command
                command.status = int(process.stdout.readline())
                command.printed = [path.read_text() for path in printed]
                self._apart = None
            except BaseException:  # a test that takes too long: its command is not waited for
                self.end()
                raise

    def _started(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        return self._process

    def end(self) -> None:
        """Kill the process and a command that still runs."""
        if self._apart is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._apart, signal.SIGKILL)
            self._apart = None
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None


@dataclass
class Running:
    """A command.

    Attributes:
        argv: its module and arguments.
        pid: its process.
        status: how it ended, once it has.
        printed: what it wrote to the standard streams, once it has ended.
    """

    argv: Sequence[str]
    pid: int
    status: int | None = None
    printed: Sequence[str] = ()

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def done(self) -> subprocess.CompletedProcess[str]:
        """How it ended, and what it printed."""
        assert self.status is not None
        return subprocess.CompletedProcess(self.argv, self.status, *self.printed)


def requested() -> dict[str, Any]:
    """Fork for every request of the tests; only a fork returns, with its request."""
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            request: dict[str, Any] = json.loads(line)
            return request
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


def become(request: Mapping[str, Any]) -> None:
    """Take the place of ``python -m``: its folder, variables, paths, streams and signals."""
    if request["apart"]:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream, path in zip((0, 1, 2), (os.devnull, *request["printed"]), strict=True):
        flags = os.O_RDWR if stream == 0 else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(path, flags, 0o600), stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    tempfile.tempdir = None
    extra = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:1] = [request["cwd"], *extra]
    sys.argv = list(request["argv"])


if __name__ == "__main__":
    for name in LOADED:
        importlib.import_module(name)
    request = requested()
    become(request)
    runpy.run_module(request["argv"][0], run_name="__main__", alter_sys=True)
