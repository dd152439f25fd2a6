"""The documentation: its reference is current, its links lead somewhere, its messages exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gmrd.cli.reference import experiments, reference

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FETCHED = re.compile(r"<(?:script|img|link)\b[^>]*(?:src|href)=[\"']?https?:[^ >]*")
NOT_OURS = {"operator torchvision::nms does not exist"}


def test_the_command_reference_is_up_to_date() -> None:
    for page, expected in (("commands", reference()), ("experiment-files", experiments())):
        assert (ROOT / "docs" / f"{page}.md").read_text() == expected, "run make docs"


def test_the_site_is_built_with_nothing_to_warn_of_and_nothing_to_fetch(tmp_path: Path) -> None:
    """Every page, the API's included; notebooks without outputs where none were run."""
    pytest.importorskip("mkdocstrings", reason="the site: install gmrd[docs]")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--quiet",
        "--config-file",
        ".ci/mkdocs.yml",
    ]
    built = subprocess.run(
        [*command, "--site-dir", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    for page in tmp_path.rglob("*.html"):
        fetched = FETCHED.findall(page.read_text())
        assert [f for f in fetched if 'rel="canonical"' not in f] == [], page
    assert len(list((tmp_path / "api").glob("*.html"))) > 10


def test_the_citation_has_this_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version[1]}" in (ROOT / "docs" / "changelog.md").read_text()


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
