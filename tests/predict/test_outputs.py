"""Names of the files that a prediction leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from gmrd.errors import InputError
from gmrd.io.scan import Scan
from gmrd.predict.outputs import file_names
from helpers.loop import Threshold
from helpers.scans import affine, ball


def test_organs_name_files_within_the_folder_and_no_two_the_same() -> None:
    assert file_names({1: "liver", 4: "left kidney"}) == {1: "liver", 4: "left_kidney"}
    named = file_names({1: "../a/b", 2: ".._a_b", 3: "n" * 300})
    assert named[1] != named[2]
    assert not any("/" in name or len(name) > 200 for name in named.values())


def test_a_label_map_without_an_ending_is_refused(tmp_path: Path) -> None:
    found = Threshold()(Scan("a", ball(1)[0], affine()))
    with pytest.raises(InputError, match=r"end in \.nii"):
        found.save(tmp_path / "x")
    assert not list(tmp_path.iterdir())
