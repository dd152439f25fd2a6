"""Changed files are refused or read as something sane, whatever was changed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pydicom", reason="DICOM: install gmrd[dicom]")
pytest.importorskip("SimpleITK", reason="DICOM: install gmrd[dicom]")

from helpers.fuzz import targets

TARGETS = targets()

CHANGE = st.tuples(
    st.sampled_from(["replace", "insert", "delete", "cut"]),
    st.floats(0, 1),
    st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\0" * 8, b"\xff" * 8])),
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_a_whole_file_is_read(name: str) -> None:
    assert all(TARGETS[name](seed) for seed in TARGETS[name].seeds)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_a_changed_file_does_no_harm(name: str, data: st.DataObject) -> None:
    changed = bytearray(data.draw(st.sampled_from(TARGETS[name].seeds)))
    for what, share, content in data.draw(st.lists(CHANGE, min_size=1, max_size=4)):
        at = int(share * len(changed))
        end = {"replace": at + len(content), "insert": at, "delete": at + len(content)}
        changed[at : end.get(what, len(changed))] = b"" if what in ("delete", "cut") else content
    TARGETS[name](bytes(changed))


ATHERIS = """
from contextlib import nullcontext
from pathlib import Path

def instrument_imports(include):
    return nullcontext()

def Setup(arguments, target):
    global call, seeds
    call, seeds = target, Path(arguments[-1])

def Fuzz():
    from gmrd.predict import project_file
    print(project_file.__file__, [call(seed.read_bytes()) for seed in seeds.iterdir()])
"""
"""Atheris as far as it is called: it calls the target with the seeds."""


def test_the_package_is_imported_past_its_editable_installation(tmp_path: Path) -> None:
    """Atheris instruments only what Python's own finder imports, and the C++ part is elsewhere."""
    (tmp_path / "atheris.py").write_text(ATHERIS)
    tests = Path(__file__).parents[1]
    (tmp_path / "src").symlink_to(tests.parent / "src")
    run = subprocess.run(
        [sys.executable, tests / "fuzz_readers.py", "scores", "--seconds=1"],
        env={**os.environ, "PYTHONPATH": f"{tests}:{tmp_path}", "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        text=True,
        capture_output=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.split() == [f"{tmp_path}/src/gmrd/predict/project_file.py", "[None]"]
