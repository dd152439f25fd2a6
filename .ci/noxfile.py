"""Versions at both ends: `make versions`, or `nox -f .ci/noxfile.py -s lowest`."""

from __future__ import annotations

import re
from pathlib import Path

import nox

ROOT = Path(__file__).parents[1]
PACKAGE = f"{ROOT}[dicom-seg]"
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
TEST = ["tests/supervoxels", "tests/io", "tests/nn", "tests/matching", "tests/predict"]
TOOLS = ["pytest>=8.3", "pytest-timeout", "mypy", "hypothesis", "beartype", "jsonschema", "psutil"]

nox.options.sessions = ["lowest", "newest", "without"]
nox.options.reuse_existing_virtualenvs = True


def lowest_versions() -> list[str]:
    """What :data:`PACKAGE` depends on, each at the first version that pyproject.toml allows."""
    project = (ROOT / "pyproject.toml").read_text()
    lists = re.findall(r"^(?:dependencies|dicom|dicom-seg) = \[(.*?)\]$", project, re.DOTALL | re.M)
    needed = [d for each in lists for d in re.findall(r'"([^"]+)"', each) if "gmrd[" not in d]
    return [re.sub(r">=([\d.]+).*", r"==\1", d) for d in needed]


def run_tests(session: nox.Session, *options: str) -> None:
    """The parts that touch the libraries most."""
    session.chdir(ROOT)
    session.run("python", "-m", "pytest", "-q", *options, *(session.posargs or TEST))


@nox.session(python="3.10")
def lowest(session: nox.Session) -> None:
    """The lowest dependencies, on the lowest Python."""
    session.install(PACKAGE, *lowest_versions(), *TOOLS)
    # Shapes are checked with the newest: jaxtyping's plugin was different at first.
    run_tests(session, "--override-ini", "addopts=--import-mode=importlib")


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """The newest dependencies that pip finds."""
    session.install("--upgrade", "--upgrade-strategy=eager", PACKAGE, *TOOLS)
    run_tests(session)


@nox.session(python="3.11")
def without(session: nox.Session) -> None:
    """No extra installed: what needs one says which, in a sentence."""
    session.install(str(ROOT), *TOOLS)
    session.chdir(ROOT)
    session.run("python", "-m", "pytest", "-q", "tests/cli/test_extras.py")
