"""The documentation: its commands compose, its links lead somewhere, its messages exist."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra

from gmrd.reference import reference

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {path.stem for path in (ROOT / "conf").glob("*.yaml")}
NOT_OURS = {"operator torchvision::nms does not exist"}


def documented() -> Iterator[tuple[str, str]]:
    """Page and line of every gmrd command in a shell block."""
    for page in PAGES:
        for block in re.findall(r"```(?:sh|bash|console)\n(.*?)```", page.read_text(), re.DOTALL):
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                if re.match(r"\s*(\$ )?gmrd-", line):
                    yield page.name, line.strip().removeprefix("$ ")


@pytest.mark.parametrize(("page", "line"), sorted(set(documented())))
def test_a_documented_command_is_one(page: str, line: str) -> None:
    """The command exists and its settings compose; a misspelt key or choice fails."""
    name, *arguments = shlex.split(line, comments=True)
    config = name.removeprefix("gmrd-")
    assert config in COMMANDS, f"{page}: there is no {name}"
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    if "-m" in arguments or "--multirun" in arguments:
        overrides = [re.sub(r"(=[^\[{,]*),.*", r"\1", override) for override in overrides]
    GlobalHydra.instance().clear()
    with initialize_config_module("gmrd.conf", version_base="1.3"):
        compose(config, overrides=overrides)


def test_the_command_reference_is_up_to_date() -> None:
    written = (ROOT / "docs" / "commands.md").read_text()
    assert written == reference(), "run python -m gmrd.reference docs/commands.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def strings(file: Path) -> str:
    """All string constants of a Python file, those of an f-string joined."""
    texts: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.JoinedStr):
            parts = [str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values]
            texts.append("".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    return "\n".join(texts)


def test_troubleshooting_quotes_messages_that_exist() -> None:
    quoted = re.findall(r"^### `(.+)`$", (ROOT / "docs/troubleshooting.md").read_text(), re.M)
    assert len(quoted) > 15
    said = "\n".join(strings(file) for file in (ROOT / "src").rglob("*.py"))
    assert [words for words in quoted if words not in said and words not in NOT_OURS] == []
