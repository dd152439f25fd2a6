"""Tables as CSV files, written atomically."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from gmrd.io.atomic import replacing


def write_csv(
    path: Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str] | None = None
) -> None:
    """Write a header line and one line per row; a row may lack columns.

    Args:
        path: the file.
        rows: values by column.
        columns: in order; by default all columns, in order of first occurrence.
    """
    if columns is None:
        columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
