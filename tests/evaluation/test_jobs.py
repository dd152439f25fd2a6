"""Commands run as jobs: failures are told, finished ones skipped, SIGTERM handed on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from gmrd.errors import InputError
from gmrd.evaluation.jobs import Job, run_jobs

QUIET = Console(quiet=True)


@dataclass(frozen=True)
class Script(Job):
    """A job that runs Python text in place of a training."""

    text: str = ""

    def command(self) -> list[str]:
        return [sys.executable, "-S", "-c", self.text, str(self.folder)]


def script(folder: Path, text: str) -> Script:
    return Script(folder, ("fold=0",), text)


FINISH = "import sys, pathlib; (pathlib.Path(sys.argv[1]) / 'summary.json').write_text('{}')"


def test_a_failed_job_is_returned_and_the_others_run(tmp_path: Path) -> None:
    fail = "import sys; print('why'); sys.exit(3)"
    jobs = [script(tmp_path / "a", fail), script(tmp_path / "b", FINISH)]
    assert run_jobs(jobs, console=QUIET) == [(jobs[0], 3)]
    assert jobs[0].log.read_text() == "why\n"
    assert jobs[1].finished


def test_a_finished_job_is_not_run_again(tmp_path: Path) -> None:
    job = script(tmp_path, FINISH)
    run_jobs([job], console=QUIET)
    assert run_jobs([script(tmp_path, "raise SystemExit(1)")], console=QUIET) == []


def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    run_jobs([script(tmp_path, FINISH)], console=QUIET)
    with pytest.raises(InputError, match="has a training with other settings"):
        run_jobs([Script(tmp_path, ("fold=1",), FINISH)], console=QUIET)


@pytest.mark.parametrize("record", ["{", "3", "null"])
def test_a_damaged_record_of_settings_is_refused(tmp_path: Path, record: str) -> None:
    run_jobs([script(tmp_path, FINISH)], console=QUIET)
    (tmp_path / "overrides.json").write_text(record)
    with pytest.raises(InputError, match="choose another folder with out="):
        run_jobs([script(tmp_path, FINISH)], console=QUIET)


def test_the_order_of_settings_is_no_difference(tmp_path: Path) -> None:
    run_jobs([Script(tmp_path, ("fold=0", "seed=1"), FINISH)], console=QUIET)
    assert run_jobs([Script(tmp_path, ("seed=1", "fold=0"), FINISH)], console=QUIET) == []


def test_a_folder_where_nothing_was_trained_takes_other_settings(tmp_path: Path) -> None:
    run_jobs([Script(tmp_path, ("fold=9",), "raise SystemExit(2)")], console=QUIET)
    assert run_jobs([script(tmp_path, FINISH)], console=QUIET) == []


def test_no_gpu_to_give_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"devices=\[\] leaves no GPU"):
        run_jobs([script(tmp_path, FINISH)], devices=[], console=QUIET)


def test_a_training_goes_on_in_its_own_folder(tmp_path: Path) -> None:
    command = Job(tmp_path / "it's", ("fold=0",)).command()
    assert command[1:4] == ["-m", "gmrd.cli.train", "fold=0"]
    assert "ckpt_path=auto" in command
    assert any(part.startswith("hydra.run.dir=") and r"it\'s" in part for part in command)


def test_every_job_has_a_gpu_of_its_own(tmp_path: Path) -> None:
    text = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(0.3)"
    jobs = [script(tmp_path / name, text) for name in "abcd"]
    run_jobs(jobs, n_jobs=2, devices=[5, 7], console=QUIET)
    used = [job.log.read_text().strip() for job in jobs]
    assert set(used) == {"5", "7"}
    assert set(used[:2]) == {"5", "7"}


@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_reaches_the_running_job_and_begins_no_other(
    tmp_path: Path, number: int, ending: type[BaseException]
) -> None:
    text = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(143)))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    jobs = [script(tmp_path / "a", text), script(tmp_path / "b", FINISH)]

    def terminate() -> None:
        while not (jobs[0].log.is_file() and "ready" in jobs[0].log.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    threading.Thread(target=terminate).start()
    with pytest.raises(ending) as ended:
        run_jobs(jobs, console=QUIET)
    assert getattr(ended.value, "code", 143) == 143
    assert "saved" in jobs[0].log.read_text()
    assert not jobs[1].finished
