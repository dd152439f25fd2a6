"""Manual label maps: those in a folder, and drafts that were changed after they were written."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from gmrd.errors import InputError
from gmrd.io.digest import digest
from gmrd.io.formats import SCAN_EXTENSIONS, stem
from gmrd.io.readers import read_scan


class Ledger:
    """Digests of all drafts ever written to a folder, one per line.

    A digest is recorded before its file appears. So even if the program is killed, no draft is
    mistaken for manual work.

    Args:
        folder: of the drafts.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "digests.txt"

    def note(self, file: Path) -> None:
        """Record a file's digest; it is on disk when this returns."""
        with self.path.open("a", encoding="ascii") as lines:
            lines.write(f"{digest(file)}\n")
            lines.flush()
            os.fsync(lines.fileno())

    def is_corrected(self, file: Path) -> bool:
        """Whether a draft's digest was never recorded; False if there is no draft.

        Raises:
            InputError: there is a draft, but no record at all.
        """
        if not file.is_file():
            return False
        if not self.path.is_file():
            raise InputError(
                f"{self.path} is missing, so corrected drafts cannot be recognised: move the label "
                f"maps that you corrected into annotations/, then delete {self.path.parent}"
            )
        return digest(file) not in self.path.read_text(encoding="ascii", errors="replace").split()


def drawn(folder: Path, scans: Collection[str]) -> dict[str, Path]:
    """The label maps in a folder, by the name of their scan.

    A label map is named after its scan, optionally with ``_seg`` or ``.seg`` appended.

    Raises:
        InputError: one belongs to no scan, or two belong to the same scan.
    """
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*")):
        if not file.name.lower().endswith(SCAN_EXTENSIONS) or file.name.startswith("."):
            continue
        bare = stem(file)
        plain = bare.removesuffix(".seg")
        names = (bare, plain, plain.removesuffix("_seg"))
        name = next((name for name in names if name in scans), None)
        if name is None:
            raise InputError(
                f"{file} belongs to no scan of the project: name it after one of "
                f"{', '.join(sorted(scans))}"
            )
        if name in found:
            raise InputError(
                f"{file} and {found[name].name} belong to the same scan: delete one of them"
            )
        found[name] = file
    return found


def incomplete(
    maps: Mapping[str, Path], first: Path, names: Mapping[int, str] | None
) -> dict[str, list[int]]:
    """The label maps that cannot be a support, by name, with their missing label values.

    Args:
        maps: label maps by name.
        first: label map of the first support; its values are required if ``names`` is None.
        names: label value to organ name.
    """
    if not maps:
        return {}
    wanted = set(names or _values(first))
    lacking = {name: sorted(wanted - _values(file)) for name, file in maps.items()}
    return {name: values for name, values in lacking.items() if values}


def _values(label: Path) -> set[int]:
    return {int(v) for v in np.unique(read_scan(label, dtype=np.int32).image)} - {0}
