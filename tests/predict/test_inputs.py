"""Which scans of a folder are segmented, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from gmrd.errors import InputError
from gmrd.io.digest import digest
from gmrd.io.marks import MARK
from gmrd.io.readers import read_scan
from gmrd.predict.inputs import Query, find_queries, unique_names
from helpers.scans import affine, ball, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place in ("p1/scan.nii.gz", "p2/scan.nii.gz", "c.nii"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        write(tmp_path / place, ball(1)[0], affine())
    return tmp_path


def places(queries: list[Query], folder: Path) -> list[str]:
    return [str(query.path.relative_to(folder)) for query in queries]


def test_subfolders_are_searched_and_supports_and_outputs_left_out(folder: Path) -> None:
    assert places(find_queries(folder), folder) == ["c.nii", "p1/scan.nii.gz", "p2/scan.nii.gz"]
    left = find_queries(folder, exclude=[folder / "c.nii", folder / "p2"])
    assert places(left, folder) == ["p1/scan.nii.gz"]
    several = find_queries([folder / "c.nii", folder / "p1", folder / "c.nii"])
    assert places(several, folder) == ["c.nii", "p1/scan.nii.gz"]
    assert [query.listed for query in several] == [False, True]


def test_what_gmrd_wrote_is_no_scan_wherever_it_lies(folder: Path) -> None:
    scan = read_scan(folder / "c.nii")
    scan.save(folder / "p1" / "other name.nii.gz", ball(1)[1], description=MARK)
    (folder / "._c.nii").write_bytes(b"of another system")
    assert places(find_queries(folder), folder) == ["c.nii", "p1/scan.nii.gz", "p2/scan.nii.gz"]


def test_a_folder_of_supports_alone_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"p1 holds no scans besides supports and results"):
        find_queries(folder / "p1", exclude=[folder / "p1/scan.nii.gz"])
    with pytest.raises(InputError, match=r"query=.*absent does not exist"):
        find_queries([folder / "c.nii", folder / "absent"])


def test_a_folder_of_dicom_series_is_one_scan_a_series(folder: Path) -> None:
    pytest.importorskip("pydicom", reason="DICOM: install gmrd[dicom]")
    pytest.importorskip("SimpleITK", reason="DICOM: install gmrd[dicom]")
    from helpers.series import as_dicom

    (folder / "p3").mkdir()
    for name in ("1.2.3", "1.2.4"):
        scan = write(folder / "rounded.nii.gz", np.round(ball(1)[0]), affine())
        as_dicom(scan, folder / "p3" / name)
        scan.unlink()
    found = find_queries(folder / "p3")
    assert places(found, folder) == ["p3/1.2.3", "p3/1.2.4"]
    assert list(unique_names(found, {}).values()) == ["1.2.3", "1.2.4"]


def test_names_are_told_apart_by_folders_and_kept(folder: Path) -> None:
    queries = find_queries(folder)
    assert list(unique_names(queries, {}).values()) == ["c", "p1_scan", "p2_scan"]
    first = str((folder / "p1/scan.nii.gz").resolve())
    kept = unique_names(queries, {first: "scan"})
    assert kept[first] == "scan"
    assert set(kept.values()) == {"c", "scan", "p2_scan"}


def test_links_keep_their_own_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As git-annex lays files: the targets are named after their content."""
    annexed = folder / ".git" / "annex"
    annexed.mkdir(parents=True)
    for number in (1, 2):
        write(annexed / f"MD5E-{number}.nii.gz", ball(1)[0], affine())
        (folder / "p1" / f"sub-{number}.nii.gz").symlink_to(annexed / f"MD5E-{number}.nii.gz")
    (folder / "study").symlink_to(folder / "p1")
    monkeypatch.chdir(folder / "p2")
    found = find_queries([folder / "p1", folder / "study" / "sub-1.nii.gz"], base=folder)
    assert unique_names(found, {}) == {
        "p1/scan.nii.gz": "scan", "p1/sub-1.nii.gz": "sub-1", "p1/sub-2.nii.gz": "sub-2",
    }  # fmt: skip
    assert [query.source for query in find_queries("../p2/.", base=folder)] == ["p2/scan.nii.gz"]


def test_two_endings_and_the_batchs_own_files_are_told_apart(tmp_path: Path) -> None:
    for name in ("A.nii", "a.nii.gz", "index.nii"):
        write(tmp_path / name, ball(1)[0], affine())
    names = list(unique_names(find_queries(tmp_path), {}).values())
    assert len({name.lower() for name in names}) == 3
    assert "index" not in names


def test_a_file_name_that_is_no_text_gives_a_name_that_is(tmp_path: Path) -> None:
    """Pictures, pages and tables could not be written with it."""
    for name in (b"b\xff.nii", b"b\xfe.nii"):
        write(tmp_path / "new.nii", ball(1)[0], affine()).rename(tmp_path / os.fsdecode(name))
    names = unique_names(find_queries(tmp_path), {})
    assert len(set(names.values())) == 2
    assert all(
        name.encode().startswith(b"b_") or b"_b_" in name.encode() for name in names.values()
    )


def test_a_pipe_in_a_folder_does_not_block(folder: Path) -> None:
    os.mkfifo(folder / "pipe.nii")
    found = find_queries(folder)
    assert folder / "pipe.nii" in [query.path for query in found]
    with pytest.raises(InputError, match=r"pipe\.nii is not a regular file"):
        read_scan(folder / "pipe.nii")


def test_a_home_folder_given_for_a_series_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gmrd.io.formats.MAX_FILES", 3)
    for number in range(4):
        (tmp_path / f"{number}.txt").touch()
    for read in (read_scan, digest):
        with pytest.raises(InputError, match="holds more than 3 files"):
            read(tmp_path)


def test_the_home_of_an_unknown_user_does_not_exist() -> None:
    with pytest.raises(InputError, match="~nobody-of-that-name/a does not exist"):
        find_queries("~nobody-of-that-name/a")
