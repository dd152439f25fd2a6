"""What the linter must find, for each rule that annotations with shapes tempt one to turn off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

MODULE = '''"""A module that forgot to import Path."""

from jaxtyping import Float
from torch import Tensor


def first(values: Float[Tensor, " n"], images: Float[Tensor, "n h w"]) -> int:
    """Use a name that is not there."""
    return len(Path("x").name) + len(values) + len(images)
'''


def test_a_missing_import_in_a_function_body_fails_the_lint_and_shapes_do_not() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--output-format=concise"]
    checked = subprocess.run(
        [*command, "--stdin-filename", "src/gmrd/forgetful.py", "-"],
        cwd=ROOT, input=MODULE, capture_output=True, text=True,
    )  # fmt: skip
    found = [line for line in checked.stdout.splitlines() if "forgetful.py:" in line]
    assert [line.partition("F821 ")[2] for line in found] == ["Undefined name `Path`"]
