"""Run the notebooks for the site, each that has changed: build/notebooks has them with outputs."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build" / "notebooks"


def main() -> None:
    """Run them one after another, each in a folder with the network that lies beside them."""
    OUT.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        mark = OUT / f"{path.stem}.sha256"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if mark.is_file() and mark.read_text() == digest:
            continue
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(ROOT / "notebooks" / "phantom.pt", folder)
            resources = {"metadata": {"path": folder}}
            NotebookClient(notebook, timeout=1200, resources=resources).execute()
        nbformat.write(notebook, OUT / path.name)
        mark.write_text(digest)


if __name__ == "__main__":
    main()
