"""A file is there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gmrd.errors import InputError
from gmrd.io.atomic import replacing


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.name.endswith("a.nii.gz")
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.txt"

    def fail_halfway() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_halfway()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(("code", "remedy"), [(errno.ENOSPC, "free some"), (errno.EROFS, "choose")])
def test_a_full_or_read_only_disk_is_explained(tmp_path: Path, code: int, remedy: str) -> None:
    path = tmp_path / "a.txt"

    def fail() -> None:
        with replacing(path):
            raise OSError(code, os.strerror(code))

    with pytest.raises(
        InputError, match=rf"a\.txt cannot be written \({os.strerror(code)}.*{remedy}"
    ):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_name_of_the_longest_kind_is_written_and_a_longer_one_refused(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 248 + ".nii.gz")
    with replacing(path) as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("new")
    assert path.read_text() == "new"
    with pytest.raises(InputError, match="shorter name"), replacing(tmp_path / ("n" * 256)) as file:
        file.write_text("new")
