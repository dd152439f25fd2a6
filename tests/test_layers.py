"""Imports flow one way: cli → module, data, callbacks → nn, losses, metrics → types."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "gmrd"

LOOPS = ("pytorch_lightning", "hydra", "omegaconf")

FORBIDDEN = {
    "types.py": (*LOOPS, "gmrd", "monai"),
    "nn": (
        "pytorch_lightning",
        "hydra",
        "omegaconf",
        "monai",
        "gmrd.data",
        "gmrd.module",
        "gmrd.cli",
    ),
    "losses.py": (
        "pytorch_lightning",
        "hydra",
        "omegaconf",
        "gmrd.data",
        "gmrd.module",
        "gmrd.cli",
    ),
    "evaluation/metrics.py": (*LOOPS, "gmrd.nn", "gmrd.data", "gmrd.cli"),
    "inference.py": (*LOOPS, "gmrd.data", "gmrd.cli"),
    "supervoxels": ("torch", "pytorch_lightning", "hydra", "gmrd.data", "gmrd.nn", "gmrd.cli"),
    "data": ("hydra", "gmrd.nn", "gmrd.module", "gmrd.losses", "gmrd.cli"),
    "module.py": ("hydra", "gmrd.data", "gmrd.cli"),
}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_a_layer_imports_nothing_above_it(layer: str) -> None:
    place = SOURCE / layer
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert files, f"{place} has gone: mend this table"
    wrong = [
        f"{file.relative_to(SOURCE)} imports {name}"
        for file in files
        for name in imports(file)
        for banned in FORBIDDEN[layer]
        if name == banned.rstrip(".") or name.startswith(banned.rstrip(".") + ".")
    ]
    assert not wrong
