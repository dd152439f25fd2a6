"""Files that commands leave, read for a test."""

from __future__ import annotations

import csv
from pathlib import Path


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by the names in its heading."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
