"""gmrd-supervoxels over a folder: layout, resuming, other people's files, bad volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hydra import compose, initialize_config_module

from gmrd.cli.supervoxels import make_all
from gmrd.data.supervoxel_files import Outcome
from gmrd.errors import InputError
from gmrd.supervoxels import pseudo_labels

AFFINE = np.array([[-1.5, 0, 0, 40], [0, -1.5, 0, 30], [0, 0, 6, -12], [0, 0, 0, 1.0]])
CASES = ("2", "10", "1")


def image_of(case: str) -> np.ndarray:
    return np.random.default_rng(int(case)).integers(0, 300, (5, 20, 16)).astype(np.int16)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "chaos_MR_T2_normalized"
    folder.mkdir(parents=True)
    for case in CASES:
        nib.save(nib.Nifti1Image(image_of(case).T, AFFINE), folder / f"image_{case}.nii.gz")
    return tmp_path / "root"


def run(*overrides: str) -> list[Outcome]:
    with initialize_config_module("gmrd.conf", version_base="1.3"):
        local = ["workers.backend=threading", "workers.n_jobs=2"]
        return make_all(compose("supervoxels", [*local, "min_size=40", *overrides]))


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.case_id: outcome.status for outcome in outcomes}


def labels_of(path: Path) -> Any:
    return np.asanyarray(nib.load(path).dataobj).T


def test_a_data_root_in_the_fields_layout(root: Path) -> None:
    outcomes = run(f"data.root={root}")
    assert list(statuses(outcomes)) == ["1", "2", "10"]
    assert set(statuses(outcomes).values()) == {"made"}
    for case in CASES:
        written = nib.load(root / "supervoxels_40" / f"superpix-MIDDLE_{case}.nii.gz")
        np.testing.assert_array_equal(written.affine, AFFINE)
        labels = np.asanyarray(written.dataobj).T
        assert labels.dtype == np.int32
        expected = pseudo_labels(image_of(case), spacing=(6, 1.5, 1.5), min_size=40)
        np.testing.assert_array_equal(labels, expected)


def test_what_is_there_and_unchanged_is_left_alone(root: Path) -> None:
    run(f"data.root={root}")
    target = root / "supervoxels_40" / "superpix-MIDDLE_2.nii.gz"
    stamp = target.stat().st_mtime_ns
    assert set(statuses(run(f"data.root={root}")).values()) == {"unchanged"}
    assert target.stat().st_mtime_ns == stamp
    other = nib.Nifti1Image(image_of("7").T, AFFINE)
    nib.save(other, root / "chaos_MR_T2_normalized" / "image_2.nii.gz")
    assert statuses(run(f"data.root={root}")) == {"1": "unchanged", "2": "made", "10": "unchanged"}
    assert set(statuses(run(f"data.root={root}", "scale=90")).values()) == {"made"}


def test_files_of_other_origin_are_kept_until_told_otherwise(root: Path) -> None:
    target = root / "supervoxels_40" / "superpix-MIDDLE_2.nii.gz"
    target.parent.mkdir()
    nib.save(nib.Nifti1Image(np.ones((16, 20, 5), np.int32), np.eye(4)), target)
    assert statuses(run(f"data.root={root}"))["2"] == "kept"
    assert (labels_of(target) == 1).all()
    assert statuses(run(f"data.root={root}", "overwrite=true"))["2"] == "made"
    assert labels_of(target).max() > 1


def test_a_plain_folder_with_pictures(root: Path, tmp_path: Path) -> None:
    images, out, pictures = root / "chaos_MR_T2_normalized", tmp_path / "out", tmp_path / "pictures"
    run(f"images={images}", f"out={out}", f"overlays={pictures}")
    assert sorted(path.name for path in out.iterdir()) == [
        f"superpix-MIDDLE_{case}.nii.gz" for case in sorted(CASES)
    ]
    for case in CASES:
        assert (pictures / f"{case}.png").read_bytes().startswith(b"\x89PNG")


def test_one_bad_volume_stops_no_other(root: Path) -> None:
    bad = np.ones((16, 20, 5), np.int16)
    nib.save(nib.Nifti1Image(bad, AFFINE), root / "chaos_MR_T2_normalized" / "image_2.nii.gz")
    (root / "chaos_MR_T2_normalized" / "image_3.nii.gz").write_bytes(b"not a volume")
    with pytest.raises(InputError, match="2 of 4 volumes failed") as caught:
        run(f"data.root={root}")
    assert "image_2.nii.gz: the image is constant" in str(caught.value)
    assert "image_3.nii.gz cannot be read" in str(caught.value)
    written = sorted(path.name for path in (root / "supervoxels_40").iterdir())
    assert written == ["superpix-MIDDLE_1.nii.gz", "superpix-MIDDLE_10.nii.gz"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ([], "data.root is not set: set data.root="),
        (["images=/nowhere", "out=x"], "images=/nowhere is not a folder"),
        (["images=/nowhere"], "out is not set"),
        (["data.root=/nowhere"], "/nowhere"),
    ],
)
def test_missing_volumes(overrides: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        run(*overrides)


def test_an_image_is_never_replaced_by_its_supervoxels(root: Path) -> None:
    folder = root / "chaos_MR_T2_normalized"
    before = {file: file.read_bytes() for file in folder.iterdir()}
    onto = ("out_pattern='image_{case}.nii.gz'", f"out={root}/link", "overwrite=true")
    (root / "link").symlink_to(folder)
    with pytest.raises(InputError, match=r"image_1\.nii\.gz is the input and would overwrite it"):
        run(f"images={folder}", *onto)
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_brackets_in_names_are_no_markup(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = root / "chaos_MR_T2_normalized"
    (folder / "image_1.nii.gz").rename(folder / "image_[b]1.nii.gz")
    run(f"images={folder}", f"out='{root}/[bold]out'")
    printed = capsys.readouterr().out
    assert "[b]1" in printed
    assert "[bold]out" in printed
