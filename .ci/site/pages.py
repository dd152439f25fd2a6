"""Pages that the site makes of other files: home, API, notebooks, change log.

MkDocs calls these functions by their names (https://www.mkdocs.org/dev-guide/plugins/#events).
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
EXECUTED = ROOT / "build" / "notebooks"
"""Where ``make docs`` leaves the notebooks with their outputs."""

TOP = ("README.md", "LICENSE")
API = "API"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the notebooks, the API and pages that the navigation does not name."""
    listed = set(re.findall(r"[\w-]+\.md", str(config.nav)))
    rest = sorted(p.name for p in Path(config.docs_dir).glob("*.md") if p.name not in listed)
    config.nav += [
        {"Notebooks": [f"notebooks/{path.stem}.md" for path in _notebooks()]},
        {API: [f"api/{room}.md" for room in _rooms()]},
    ]
    if rest:
        config.nav += [{"More": rest}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=_below_docs(readme)))
    for room, modules in _rooms().items():
        files.append(File.generated(config, f"api/{room}.md", content=_api(room, modules)))
    for path in _notebooks():
        text, pictures = _rendered(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{path.stem}/{name}", content=content))
    return files


def on_page_content(html: str, **_: object) -> str:
    """Docstrings name functions by Sphinx's roles; the site shows the names alone."""
    return re.sub(r":(?:func|class|mod|meth|data):<code>", "<code>", html)


def _below_docs(text: str) -> str:
    """The README as a page of the site: paths from docs/ in place of the root."""
    text = re.sub(r"\]\(docs/", "](", text)
    return re.sub(r"\[([^\]]+)\]\((?:LICENSE|CITATION\.cff|\.github/[^)]*)\)", r"\1", text)


def _rooms() -> dict[str, list[str]]:
    """Every room of the package with its modules; modules at the top are a room together."""
    rooms: dict[str, list[str]] = {"gmrd": ["gmrd"]}
    for path in sorted((SOURCE / "gmrd").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if parts[-1].startswith("__"):
            continue
        room = parts[1] if len(parts) > 2 else "gmrd"
        rooms.setdefault(room, []).append(".".join(parts))
    return rooms


def _api(room: str, modules: list[str]) -> str:
    title = room if room == "gmrd" else f"gmrd.{room}"
    blocks = "\n\n".join(f"::: {module}" for module in modules)
    return f"---\ntitle: {title}\n---\n\n# {title}\n\n{blocks}\n"


def _notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def _rendered(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, with its outputs if it was executed, and its pictures."""
    executed = EXECUTED / path.name
    notebook = json.loads((executed if executed.is_file() else path).read_text(encoding="utf-8"))
    parts, pictures = [], dict[str, bytes]()
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                continue
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![Output]({path.stem}/{name})")
            elif text := "".join(output.get("text", data.get("text/plain", []))).strip():
                parts.append(f"```text\n{text}\n```")
    return "\n\n".join(parts) + "\n", pictures
