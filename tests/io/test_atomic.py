"""A file is there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from gmrd.errors import InputError
from gmrd.io.atomic import refuse_unwritable, replacing


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


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    """As root, writing to ``/dev/null`` would leave a file in its place."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    for name, kind in (("pipe", "a pipe"), ("link", "a device"), ("folder", "a folder")):
        with pytest.raises(InputError, match=kind), replacing(tmp_path / name):
            pass
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/new"])
def test_a_place_of_the_system_is_not_replaced(name: str) -> None:
    """With its output in a file, ``/dev/stdout`` is a link to a regular one."""
    with pytest.raises(InputError, match=f"{name} cannot be written: it is a device or a pipe"):
        _fail_inside(Path(name))


def _fail_inside(path: Path) -> None:
    with replacing(path):
        raise AssertionError  # before anything is replaced


@pytest.mark.parametrize("name", ["model", ".hidden", "a b", "a."])
def test_torch_writes_to_a_name_without_an_ending(tmp_path: Path, name: str) -> None:
    """torch refuses a file whose name is empty up to its last dot."""
    with replacing(tmp_path / name) as temporary:
        torch.save({"a": 1}, temporary)
    assert torch.load(tmp_path / name, weights_only=True) == {"a": 1}


def test_a_folder_is_tried_without_being_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refuse_unwritable(tmp_path / "a" / "b")
    for wrong in ("file", "file/below"):
        with pytest.raises(InputError, match=f"{wrong} cannot be written .*choose another place"):
            refuse_unwritable(tmp_path / wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
