"""The web page without a browser: what it keeps, what it says, and how it ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gmrd.errors import InputError
from gmrd.predict.app import build_app, refuse_taken, remove_old
from gmrd.predict.options import Options
from gmrd.predict.settings import Settings
from helpers.loop import Threshold
from helpers.ports import free_port, listens

gradio = pytest.importorskip("gradio", reason="the web page: install gmrd[app]")

COMMAND = "from gmrd.cli.app import main; main()"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, list[Path], list[str], str]:
    """A page that took a file and was ended by SIGTERM: status, folders before and after, words."""
    folder, port = tmp_path_factory.mktemp("temporary"), free_port()
    environment = {**os.environ, "TMPDIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "false"}
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, f"port={port}"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 280
    while not listens(port):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.3)
    import httpx

    httpx.post(f"http://127.0.0.1:{port}/gradio_api/upload", files={"files": ("a.nii", b"Doe")})
    before = list(folder.rglob("a.nii"))
    modes = [stat.filemode(path.stat().st_mode) for path in folder.iterdir() if path.is_dir()]
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    after = [path.name for path in folder.iterdir() if path.name.startswith(("gmrd", "gradio"))]
    return process.returncode, before, [*modes, *after], said


def test_what_was_sent_is_its_owners_and_goes(
    ended: tuple[int, list[Path], list[str], str],
) -> None:
    status, before, folders, said = ended
    assert len(before) == 1
    assert folders == ["drwx------"]  # one folder while it ran, none afterwards
    assert status == 0
    assert "Traceback" not in said


def test_a_place_where_nothing_can_listen_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port={port} is not available .*in use"):
            refuse_taken("127.0.0.1", port)
    refuse_taken("127.0.0.1", port)
    for host in ("256.1.1.1", "192.0.2.1"):
        with pytest.raises(InputError, match=f"host={host}"):
            refuse_taken(host, port)


def test_old_files_go_and_others_stay(tmp_path: Path) -> None:
    for name in ("sent/1/a.nii", "sent/2/b.nii", "results/x/a.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch()
    old = time.time() - 100
    for path in (tmp_path / "sent/1/a.nii", tmp_path / "sent/1", tmp_path / "results"):
        os.utime(path, (old, old))
    remove_old(tmp_path, seconds=50.0)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"sent/2/b.nii", "results/x/a.png"}
    os.utime(tmp_path / "sent/1", (old, old))
    remove_old(tmp_path, seconds=50.0)
    assert {path.name for path in tmp_path.glob("*/*")} == {"2", "x"}


def test_messages_name_files_as_their_owner_does(
    tmp_path: Path, support: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the temporary folder nor a traceback is shown; a defect is told as a defect."""
    app = build_app(
        checkpoint=None, options=Options(), results=tmp_path, explain=lambda e: f"told: {e}"
    )
    segment, add = function(app, "segment"), function(app, "add")
    image, label = map(str, support)
    torn = tmp_path / "torn.nii.gz"
    torn.write_bytes(support[0].read_bytes()[:900])
    query = str(shutil.copy(image, tmp_path / "b.nii.gz"))
    with pytest.raises(gradio.Error) as refused:
        segment([image], [str(torn)], [query])
    assert refused.value.message.startswith("told: torn.nii.gz is damaged")
    assert str(tmp_path) not in refused.value.message

    Threshold().replace_matching(monkeypatch)
    table = segment([image], [label], [str(torn)])[1].value
    assert "<td>torn</td>" in table
    assert "torn.nii.gz is damaged" in table
    assert str(tmp_path) not in table

    desk = segment([image], [label], [query])[0]
    desk, table, *_ = add(desk, None, label)
    assert "b.nii.gz with b.nii.gz" in table.value
    forgotten = "told: there is no draft on this page, or the server"
    for name, rest in {"add": (None, label), "choose": ("b",), "turn": (None, 1)}.items():
        for emptied in (desk, None):
            with pytest.raises(gradio.Error, match=forgotten):
                function(app, name)(emptied, *rest)

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(Settings, "predictor", fail)
    with pytest.raises(gradio.Error, match="told: ours"):
        segment([image], [label], [query])


def function(app: Any, name: str) -> Any:
    """What a button of the page calls."""
    return next(block.fn for block in app.fns.values() if block.fn.__name__ == name)
