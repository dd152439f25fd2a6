"""The extension as a module: its stubs, the GIL, and Ctrl-C."""

from __future__ import annotations

import ast
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from gmrd import _core

STUB = Path(__file__).parents[2] / "src" / "gmrd" / "_core.pyi"


def test_stubs_name_what_the_extension_has() -> None:
    functions = {
        node.name: [arg.arg for arg in node.args.args + node.args.kwonlyargs]
        for node in ast.parse(STUB.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    public = {name for name in dir(_core) if not name.startswith("_")}
    assert set(functions) == public
    for name, arguments in functions.items():
        overloads = re.findall(rf"{name}\((.*)\) ->", getattr(_core, name).__doc__)
        overloads = [line for line in overloads if line != "*args, **kwargs"]
        assert len(overloads) == 2, "one for float32, one for float64"
        for signature in overloads:
            assert re.findall(r"(\w+):", signature) == arguments


def test_stubs_hold_for_mypy() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "gmrd._core"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_other_threads_run_meanwhile() -> None:
    image = np.random.default_rng(0).random((24, 160, 160))
    worker = threading.Thread(
        target=_core.felzenszwalb3d,
        args=(image,),
        kwargs={"z_over_x": 1.0, "scale": 1.0, "min_size": 5000},
    )
    worker.start()
    turns = 0
    while worker.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 10


ENDLESS = """
import numpy as np, sys, time
from gmrd import _core
image = np.random.default_rng(0).random((100, 400, 400))
print("ready", flush=True)
try:
    _core.felzenszwalb3d(image, z_over_x=1.0, scale=1e9, min_size=5000)
    print("finished", flush=True)
except KeyboardInterrupt:
    print(time.process_time())
    raise
"""


def test_an_interrupt_is_heeded_within_a_second_of_work() -> None:
    # Work, not time: beside other work a second may pass before the process runs at all.
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.0)
    times = psutil.Process(process.pid).cpu_times()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert "finished" not in output
    assert "KeyboardInterrupt" in errors
    assert float(output) - times.user - times.system < 1.0
