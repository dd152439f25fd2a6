"""A real window on a virtual display."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def display() -> Iterator[None]:
    """The display that is there, or Xvfb."""
    if os.environ.get("DISPLAY"):
        yield
        return
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        pytest.skip("a window needs a display: install xvfb")
    reader, writer = os.pipe()
    command = [xvfb, "-displayfd", str(writer), "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
    process = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
    os.close(writer)
    with os.fdopen(reader) as told:
        number = told.readline().strip()
    os.environ["DISPLAY"] = f":{number}"
    # Without its system libraries Qt ends the process, and with it the tests.
    opened = "from qtpy.QtWidgets import QApplication; QApplication([])"
    if subprocess.run([sys.executable, "-c", opened], capture_output=True).returncode < 0:
        process.terminate()
        process.wait()
        del os.environ["DISPLAY"]
        pytest.skip("Qt finds a display but lacks a system library: install libxcb-icccm4 "
                    "libxcb-keysyms1 libxcb-xinerama0")  # fmt: skip
    yield
    del os.environ["DISPLAY"]
    process.terminate()
    process.wait()


@pytest.fixture
def viewer(display: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A napari window, which saves no settings; what its buttons raise fails the test."""
    napari = pytest.importorskip("napari", reason="the viewer: install gmrd[napari]")
    pytest.importorskip("qtpy.QtWidgets", reason="Qt for the viewer", exc_type=ImportError)
    monkeypatch.setenv("NAPARI_CONFIG", "")
    raised: list[object] = []
    # Without a hook of one's own, Qt aborts the process.
    monkeypatch.setattr(sys, "excepthook", lambda *error: raised.append(error))
    made = napari.Viewer(show=True)
    yield made
    made.close()
    assert not raised
