"""Label maps that a person drew: those in a folder, and drafts that are no longer as written."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from gmrd.errors import InputError
from gmrd.io.digest import digest
from gmrd.io.names import SCAN_ENDINGS, stem
from gmrd.io.readers import read_scan


class Ledger:
    """Digests of all drafts that were ever written into a folder, one a line.

    A digest is noted before its file appears, so that no draft is ever taken for a person's work,
    whenever the program is killed.

    Args:
        folder: of the drafts.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "digests.txt"

    def note(self, file: Path) -> None:
        """Note a file's content; it is on the disk when this returns."""
        with self.path.open("a", encoding="ascii") as lines:
            lines.write(f"{digest(file)}\n")
            lines.flush()
            os.fsync(lines.fileno())

    def is_mended(self, file: Path) -> bool:
        """Whether a draft's content was never noted; False where there is no draft.

        Raises:
            InputError: there is a draft and nothing was ever noted.
        """
        if not file.is_file():
            return False
        if not self.path.is_file():
            raise InputError(
                f"{self.path} is missing, so mended drafts cannot be told from others: move the "
                f"label maps that you mended into annotations/, then delete {self.path.parent}"
            )
        return digest(file) not in self.path.read_text(encoding="ascii").split()


def drawn(folder: Path, scans: Collection[str]) -> dict[str, Path]:
    """The label maps in a folder by the names of the scans that they are of.

    A label map has its scan's name, or that and ``_seg``, and may end in ``.seg.nrrd``.

    Raises:
        InputError: one belongs to no scan, or two belong to the same.
    """
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*")):
        if not file.name.lower().endswith(SCAN_ENDINGS) or file.name.startswith("."):
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
            raise InputError(f"{file} and {found[name].name} are of one scan: delete one of them")
        found[name] = file
    return found


def incomplete(
    maps: Mapping[str, Path], first: Path, names: Mapping[int, str] | None
) -> dict[str, list[int]]:
    """The label maps that cannot be a support, by name, with the label values that they lack.

    Args:
        maps: label maps by name.
        first: the first support's, which holds every value if ``names`` does not say them.
        names: label value to organ name.
    """
    if not maps:
        return {}
    wanted = set(names or _values(first))
    lacking = {name: sorted(wanted - _values(file)) for name, file in maps.items()}
    return {name: values for name, values in lacking.items() if values}


def _values(label: Path) -> set[int]:
    return {int(v) for v in np.unique(read_scan(label, dtype=np.int32).image)} - {0}
