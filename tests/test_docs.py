"""The documentation: its reference is current, its links lead somewhere, its messages exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from gmrd.cli.reference import reference

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_OURS = {"operator torchvision::nms does not exist"}


def test_the_command_reference_is_up_to_date() -> None:
    written = (ROOT / "docs" / "commands.md").read_text()
    assert written == reference(), "run python -m gmrd.cli.reference docs/commands.md"


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
