"""Names of the files that a prediction leaves."""

from __future__ import annotations

from gmrd.predict.outputs import file_names


def test_organs_name_files_within_the_folder_and_no_two_the_same() -> None:
    assert file_names({1: "liver", 4: "left kidney"}) == {1: "liver", 4: "left_kidney"}
    named = file_names({1: "../a/b", 2: ".._a_b", 3: "n" * 300})
    assert named[1] != named[2]
    assert not any("/" in name or len(name) > 200 for name in named.values())
