"""What results depend on."""

from __future__ import annotations

from pathlib import Path

from gmrd.predict.options import Options
from gmrd.predict.settings import Settings


def test_a_key_changes_with_what_a_result_depends_on(support: tuple[Path, Path]) -> None:
    key = Settings().key([support])
    assert Settings.of({"out": "elsewhere", "keep_support": False}).key([support]) == key
    assert Settings(names={1: "ball"}).key([support]) != key
    assert Settings(options=Options(encoder="lite1")).key([support]) != key
    assert Settings().key([support, support]) != key
    with support[1].open("ab") as label:
        label.write(b"more")
    assert Settings().key([support]) != key
