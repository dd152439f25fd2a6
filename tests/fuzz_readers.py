"""Feed the readers of strangers' files with changed ones, for a time; see helpers/fuzz.py.

    python tests/fuzz_readers.py               # all, 10 seconds each
    python tests/fuzz_readers.py mha --seconds 600

Where Atheris is installed (`pip install atheris`), changes are led by the coverage of our readers,
nibabel and pydicom, and inputs that reach new code are kept in build/fuzz; else changes are drawn
at random. A finding is any exception but InputError, a crash, 20 seconds, or a gigabyte: the input
that did it is written to build/fuzz, and the status is not 0.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import resource
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

try:
    import atheris
except ImportError:
    atheris = None

PLACE = Path("build/fuzz")
NAMES = (
    *("nifti", "nifti_in_gzip", "gzip", "nrrd", "mha", "zip", "dicom", "checkpoint"),
    *("mask", "weights", "scores", "run", "batch", "project"),
)
SECONDS_EACH = 20
MEGABYTES_MORE = 1000


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=10)
    options = parser.parse_args()
    if options.name:
        fuzz(options.name, options.seconds)
        return
    for name in NAMES:
        command = [sys.executable, __file__, name, "--seconds", str(options.seconds)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(f"{name}: {done.stdout.strip().splitlines()[-1]}", flush=True)
        if done.returncode:
            raise SystemExit(f"{name}, status {done.returncode}:\n{done.stdout[-4000:]}")


def fuzz(name: str, seconds: int) -> None:
    (PLACE / name).mkdir(parents=True, exist_ok=True)
    if atheris is None:
        at_random(name, seconds)
    else:
        by_coverage(name, seconds)


def by_coverage(name: str, seconds: int) -> None:
    # An editable installation imports the package in its own way, past Atheris, and alone knows
    # where the compiled part is: that is imported first, and the rest anew.
    importlib.import_module("gmrd._core")
    del sys.modules["gmrd"]
    sys.meta_path[:] = [f for f in sys.meta_path if "Redirecting" not in type(f).__name__]
    sys.path.insert(0, "src")
    with atheris.instrument_imports(include=["gmrd.io", "gmrd.checkpoint", "nibabel", "pydicom"]):
        from helpers.fuzz import targets
    target = targets()[name]
    for number, seed in enumerate(target.seeds):
        (PLACE / name / f"seed-{number}").write_bytes(seed)
    settings = {
        "max_total_time": seconds,
        "timeout": SECONDS_EACH,
        "rss_limit_mb": MEGABYTES_MORE + 1000,
        "malloc_limit_mb": MEGABYTES_MORE,
        "max_len": 8192,
        "artifact_prefix": f"{PLACE}/finding-{name}-",
    }
    given = [f"-{key}={value}" for key, value in settings.items()]
    atheris.Setup([sys.argv[0], *given, str(PLACE / name)], lambda data: target(data) and None)
    atheris.Fuzz()


def at_random(name: str, seconds: int) -> None:
    from helpers.fuzz import targets

    target, rng, counts = targets()[name], np.random.default_rng(0), [0, 0]
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = now + MEGABYTES_MORE * 1024**2
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = changed(bytearray(target.seeds[rng.integers(len(target.seeds))]), rng)
        finding = PLACE / f"finding-{name}"
        finding.write_bytes(data)
        signal.alarm(SECONDS_EACH)
        counts[target(data)] += 1
        signal.alarm(0)
        finding.unlink()
    print(f"{counts[1]} read, {counts[0]} refused")


def changed(data: bytearray, rng: np.random.Generator) -> bytes:
    """A few changes: a bit, some bytes, a piece gone, doubled or cut off."""
    for _ in range(rng.integers(1, 5)):
        at, n = int(rng.integers(len(data) + 1)), int(rng.integers(1, 9))
        what = rng.integers(5)
        if what == 0 and at < len(data):
            data[at] ^= 1 << rng.integers(8)
        elif what == 1:
            data[at : at + n] = rng.bytes(n)
        elif what == 2:
            del data[at : at + n]
        elif what == 3:
            data[at:at] = data[at : at + n]
        elif rng.random() < 0.2:
            del data[at:]
    return bytes(data)


if __name__ == "__main__":
    main()
