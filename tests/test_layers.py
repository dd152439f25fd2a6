"""Imports flow one way; a room may import what is listed for it and nothing else of the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "gmrd"

MAY_IMPORT = {
    "hydra": {"cli", "training"},
    "omegaconf": {"cli", "training", "evaluation", "data"},
    "pytorch_lightning": {"cli", "training", "module", "data"},
    "monai": {"data", "evaluation"},
    "torch": {
        *("types", "nn", "losses", "metrics", "inference", "module", "checkpoint", "adaptation"),
        *("matching", "data", "evaluation", "training", "predict", "cli"),
    },
}
"""Rooms that may import a framework: the method knows no loop, and files and arrays no torch."""


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_metrics_know_neither_networks_nor_data() -> None:
    """They stand for themselves, as a published figure is checked by them."""
    unknown = ("pytorch_lightning", "hydra", "omegaconf", "gmrd.nn", "gmrd.data", "gmrd.cli")
    for name in imports(SOURCE / "evaluation" / "metrics.py"):
        assert not any(name == banned or name.startswith(f"{banned}.") for banned in unknown), name


def test_helpers_are_not_imported_from_test_modules() -> None:
    wrong = [
        f"{file.name} imports {name}"
        for file in sorted(Path(__file__).parent.rglob("*.py"))
        for name in imports(file)
        if name.rsplit(".", 1)[-1].startswith("test_")
    ]
    assert not wrong


ROOTS = {"types", "errors", "processes", "values"}
"""What every room may import; they import nothing but each other."""

PICTURES = {"viz", "io"}
METHOD = {"nn", "losses", "metrics", "inference", "module", "components"}
TRAINED = METHOD | {"checkpoint"}

ALLOWED: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "processes": set(),
    "values": set(),
    "components": set(),
    "nn": {"components"},
    "losses": {"nn"},
    "metrics": set(),
    "inference": set(),
    "supervoxels": set(),
    "io": set(),
    "viz": {"io"},
    "data": {"supervoxels", "matching", *PICTURES},
    "module": METHOD,
    "checkpoint": {"components", "module", "nn", "io"},
    "adaptation": METHOD | {"data"},
    "matching": METHOD | {"io", "supervoxels"},
    "evaluation": TRAINED | PICTURES | {"data", "matching", "adaptation"},
    "training": TRAINED | PICTURES | {"data", "evaluation"},
    "predict": TRAINED | PICTURES | {"data", "matching", "adaptation"},
    "viewer": {"predict", "matching", "io", "viz"},
    "cli": TRAINED
    | PICTURES
    | {"data", "supervoxels", "matching", "evaluation", "training", "predict"},
    "__init__": {"predict", "io"},  # what `import gmrd` gives
}
"""Rooms of the package by name: a folder, or a module at the top."""


def rooms() -> list[str]:
    places = (p for p in SOURCE.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file())
    return sorted(place.stem for place in places)


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_what_is_listed_for_it(room: str) -> None:
    assert room in ALLOWED, f"{room} is new: say in ALLOWED what it may import"
    place = SOURCE / room
    files = sorted(place.rglob("*.py")) if place.is_dir() else [SOURCE / f"{room}.py"]
    allowed = ALLOWED[room] | ROOTS | {room}
    wrong = [
        f"{file.relative_to(SOURCE)} imports {name}"
        for file in files
        for name in imports(file)
        if (name.startswith("gmrd.") and name.split(".")[1] not in allowed)
        or room not in MAY_IMPORT.get(name.split(".")[0], {room})
    ]
    assert not wrong


def test_the_lists_name_rooms_that_exist() -> None:
    named = {*ALLOWED, *ROOTS, *(room for of in MAY_IMPORT.values() for room in of)}
    assert named == set(rooms())
