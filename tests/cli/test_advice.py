"""Messages advise settings that the commands have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from helpers.commands import composed

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "gmrd"
COMMANDS = sorted(path.stem for path in (ROOT / "conf").glob("*.yaml"))

KEY = re.compile(r"(?:[Ss]et|add|Add|write|with|use|pass) ([a-z_]+(?:\.[a-z_]+)*)=(?=\S|$)")
"""A setting as it is written in a message: ``data.root=/path``."""


def messages(file: Path) -> Iterator[str]:
    """Texts of the errors that are raised."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Raise):
            texts = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant))
            yield from (text for text in texts if isinstance(text, str))


def known(*commands: str) -> set[str]:
    """Every key and section of some commands, and a setting of Hydra that they advise."""
    found = {"hydra.run.dir"}
    for command in commands:
        plain = OmegaConf.to_container(composed(command), resolve=False)
        waiting = [("", plain)]
        while waiting:
            prefix, section = waiting.pop()
            for name, value in section.items() if isinstance(section, dict) else ():
                found.add(f"{prefix}{name}")
                waiting.append((f"{prefix}{name}.", value))
    return found


ARGUMENTS = {"with_threshold"}
"""Arguments of classes, which a setting of the model holds."""

ADVISED = {
    (str(file.relative_to(SOURCE)), key)
    for file in SOURCE.rglob("*.py")
    for text in messages(file)
    for key in KEY.findall(text)
}


def test_messages_advise_settings_that_exist() -> None:
    assert len(ADVISED) > 10
    there = known(*COMMANDS) | ARGUMENTS
    assert not {(file, key) for file, key in ADVISED if key not in there}


@pytest.mark.parametrize(
    ("commands", "rooms"),
    [
        (("prepare",), ("data/prepare/", "cli/prepare.py")),
        (("predict", "app", "project"), ("predict/", "cli/predict.py", "cli/project.py")),
        (("export", "train"), ("predict/export.py",)),
    ],
)
def test_a_command_advises_its_own_settings(
    commands: tuple[str, ...], rooms: tuple[str, ...]
) -> None:
    """``data.root`` is no advice where the key is ``root``."""
    others = () if "export" in commands else ("predict/export.py",)
    advised = {key for file, key in ADVISED if file.startswith(rooms) and file not in others}
    assert advised <= known(*commands)
