"""gmrd-inspect: every kind of damage is found and named; a sound folder is not accused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gmrd.cli.inspect import inspect
from gmrd.data.build import read_description
from gmrd.data.description import DatasetDescription
from gmrd.data.inspection.dataset import _changed_files
from gmrd.data.phantom import make_phantom
from gmrd.data.supervoxel_files import make_supervoxels
from gmrd.errors import InputError
from gmrd.io.nifti_writer import write_nifti
from helpers.commands import RunHere
from helpers.scans import read

SUPERVOXELS = {"min_size": 200, "scale": 1.0, "sigma": 0.0}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small phantom cases with their supervoxels."""
    root = tmp_path_factory.mktemp("sound")
    make_phantom(root, n_cases=4, seed=1, size=64)
    for case in range(1, 5):
        image = root / "phantom_normalized" / f"image_{case}.nii.gz"
        target = root / "supervoxels_200" / f"superpix-MIDDLE_{case}.nii.gz"
        make_supervoxels(str(case), image, target, SUPERVOXELS)
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(sound, tmp_path / "data"))


def data_set(root: Path, **overrides: object) -> DatasetDescription:
    settings: dict[str, object] = {
        "name": "phantom",
        "root": root,
        "images": "phantom_normalized/image_{case}.nii.gz",
        "labels": "phantom_normalized/label_{case}.nii.gz",
        "pseudo_labels": "supervoxels_200/superpix-MIDDLE_{case}.nii.gz",
        "classes": {1: "liver", 2: "right_kidney", 3: "left_kidney", 4: "spleen"},
        "supervoxels": SUPERVOXELS,
        "n_folds": 2,
    }
    return read_description({**settings, **overrides})


def found(root: Path, *, min_area: float = 20, **overrides: object) -> list[tuple[str, str, str]]:
    _, findings = inspect(data_set(root, **overrides), None, min_area=float(min_area))
    return [(f.severity, f.case_id, f"{f.what}: {f.meaning}") for f in findings]


def change(root: Path, kind: str, case: int, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    path = root / "phantom_normalized" / f"{kind}_{case}.nii.gz"
    array, affine = read(path)
    write_nifti(path, edit(array.copy()), affine)


def test_sound_root_has_no_findings(root: Path, tmp_path: Path) -> None:
    portraits, findings = inspect(data_set(root), tmp_path / "sheet.png")
    assert findings == []
    assert [p.case_id for p in portraits] == ["1", "2", "3", "4"]
    assert all(p.n_supervoxels and p.class_voxels[1] for p in portraits)
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def with_nan(array: np.ndarray) -> np.ndarray:
    array[0, 0, :3] = np.nan
    return array


def with_fraction(array: np.ndarray) -> np.ndarray:
    array[3, 3, 3] = 0.5
    return array


DAMAGE = {
    "NaN": ("image", with_nan, "error", "3 voxels that are NaN"),
    "constant": ("image", lambda a: a * 0 + 7, "error", "the image is 7 everywhere"),
    "shape": ("label", lambda a: a[:, :-1].astype(np.uint8), "error", "do not belong together"),
    "fraction": ("label", with_fraction, "error", "holds the value 0.5"),
    "reversed": ("label", lambda a: a[::-1].astype(np.uint8), "warning", "in reverse slice order"),
    "absent": ("label", lambda a: (a * (a != 4)).astype(np.uint8), "warning", "no voxel is spleen"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_file(root: Path, name: str) -> None:
    kind, edit, severity, text = DAMAGE[name]
    change(root, kind, 2, edit)
    hits = [f for f in found(root) if text in f[2]]
    assert [(f[0], f[1]) for f in hits] == [(severity, "2")]


def test_unreadable_and_missing_files(root: Path) -> None:
    folder = root / "phantom_normalized"
    (folder / "image_1.nii.gz").write_bytes(b"not an image")
    (folder / "label_2.nii.gz").unlink()
    (folder / "image_3.nii.gz").unlink()
    (root / "supervoxels_200" / "superpix-MIDDLE_4.nii.gz").unlink()
    findings = found(root)
    assert any(s == "error" and c == "1" and "cannot be read" in t for s, c, t in findings)
    assert any(s == "error" and c == "2" and "does not exist" in t for s, c, t in findings)
    assert any(s == "warning" and c == "3" and "has no image" in t for s, c, t in findings)
    assert any(s == "note" and c == "4" and "no supervoxels" in t for s, c, t in findings)


def test_twins_other_extensions_and_a_damaged_manifest(root: Path) -> None:
    folder = root / "phantom_normalized"
    for kind in ("image", "label"):
        shutil.copy(folder / f"{kind}_1.nii.gz", folder / f"{kind}_7.nii.gz")
        shutil.copy(folder / f"{kind}_2.nii.gz", folder / f".part-x.{kind}_8.nii.gz")
    array, affine = read(folder / "image_3.nii.gz")
    write_nifti(folder / "image_3.nii", array, affine)
    (root / "manifest.json").write_text('{"cases": [')
    findings = found(root)
    assert any(s == "error" and c == "7" and "the image is that of case 1" in t
               for s, c, t in findings)  # fmt: skip
    assert any(s == "warning" and c == "3" and "image_3.nii is not read" in t
               for s, c, t in findings)  # fmt: skip
    assert any(s == "warning" and "manifest.json cannot be read" in t for s, _, t in findings)
    assert "8" not in {case for _, case, _ in findings}


@pytest.mark.parametrize("content", ["[]", '{"cases": 3}', '{"cases": [{"case_id": "1"}]}'])
def test_a_manifest_of_another_kind(root: Path, content: str) -> None:
    (root / "manifest.json").write_text(content)
    (finding,) = _changed_files(root, data_set(root).layout)
    assert "manifest.json cannot be read" in finding.what


def test_files_without_a_volume(root: Path) -> None:
    folder = root / "phantom_normalized"
    (folder / "image_1.nii.gz").write_bytes(b"")
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 0), np.float32), np.eye(4)), folder / "image_2.nii.gz")
    for kind in ("image", "label"):
        array, affine = read(folder / f"{kind}_4.nii.gz")
        write_nifti(folder / f"{kind}_4.nii.gz", array[12:13], affine)
    (root / "supervoxels_200" / "superpix-MIDDLE_4.nii.gz").unlink()
    errors = [(case, text) for severity, case, text in found(root) if severity == "error"]
    expected = {
        "1": "download or copy it again",
        "2": "expected three dimensions",
        "4": "a single slice",
    }
    for case, part in expected.items():
        assert any(c == case and part in text for c, text in errors), part


def test_mirrored_label_and_odd_orientation(root: Path) -> None:
    folder = root / "phantom_normalized"
    label, affine = read(folder / "label_1.nii.gz")
    mirrored = affine @ np.diag([-1.0, 1.0, 1.0, 1.0])
    write_nifti(folder / "label_1.nii.gz", label.astype(np.uint8), mirrored)
    for kind in ("image", "label"):
        array, affine = read(folder / f"{kind}_2.nii.gz")
        write_nifti(folder / f"{kind}_2.nii.gz", array, affine @ np.diag([1.0, 1.0, 2.0, 1.0]))
        array, affine = read(folder / f"{kind}_3.nii.gz")
        write_nifti(folder / f"{kind}_3.nii.gz", array, affine @ np.diag([1.0, -1.0, 1.0, 1.0]))
    findings = found(root)
    assert any(s == "error" and c == "1" and "may be mirrored" in t for s, c, t in findings)
    assert any(s == "warning" and "along z in case 1 and 15.40 mm in case 2" in t
               for s, _, t in findings)  # fmt: skip
    assert any(s == "warning" and c == "3" and "lies LAS, most cases LPS" in t
               for s, c, t in findings)  # fmt: skip


def test_supervoxels_out_of_date_or_foreign_or_too_small(root: Path) -> None:
    change(root, "image", 1, lambda a: a * 2)
    path = root / "supervoxels_200" / "superpix-MIDDLE_2.nii.gz"
    labels, affine = read(path)
    write_nifti(path, labels.astype(np.int32), affine)
    findings = found(root)
    assert any(s == "warning" and c == "1" and "out of date" in t for s, c, t in findings)
    assert any(s == "note" and c == "2" and "not made by gmrd" in t for s, c, t in findings)
    assert any(s == "warning" and "no supervoxel has 5000 pixels" in t
               for s, _, t in found(root, min_area=5000))  # fmt: skip


def test_wrong_class_ids(root: Path) -> None:
    findings = found(root, classes={1: "liver", 9: "pancreas"})
    assert any(s == "error" and "no case contains class 9 (pancreas)" in t for s, _, t in findings)
    assert any(s == "note" and "2 (in 4 cases), 3 (in 4 cases)" in t for s, _, t in findings)


def test_no_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images found"):
        found(tmp_path)


def test_real_folder_is_sound(chaost2: Path, tmp_path: Path) -> None:
    data = data_set(
        chaost2,
        images="chaos_MR_T2_normalized/image_{case}.nii.gz",
        labels="chaos_MR_T2_normalized/label_{case}.nii.gz",
        pseudo_labels="supervoxels_5000/superpix-MIDDLE_{case}.nii.gz",
        n_folds=5,
    )
    portraits, findings = inspect(data, tmp_path / "sheet.png", n_jobs=2)
    assert len(portraits) == 20
    assert {p.orientation for p in portraits} == {"LAS"}
    assert {f.what for f in findings} == {"the supervoxels were not made by gmrd"}


def test_two_classes_of_one_name_are_refused(root: Path) -> None:
    """Their scores would be averaged, and one's prediction would replace the other's."""
    for twin in ("liver", "left kidney"):
        with pytest.raises(InputError, match="more than one class"):
            data_set(root, classes={1: "liver", 2: "left_kidney", 3: twin})


def test_the_contact_sheet_is_a_png_and_named_so(
    run_here: RunHere, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("inspect", "data=phantom", "data.root=x", "sheet=x.jpg") == 2
    assert "sheet=x.jpg: it is written as PNG" in capsys.readouterr().err


def test_brackets_in_names_are_no_markup(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = root / "phantom_normalized"
    for kind in ("image", "label"):
        (folder / f"{kind}_1.nii.gz").rename(folder / f"{kind}_[b]1.nii.gz")
    data = data_set(root, name="[i]x", classes={1: "[u]liver"})
    inspect(data, root / "[bold]sheet.png", min_area=20.0)
    printed = capsys.readouterr().out
    for name in ("[i]x", "[u]liver", "[b]1", "[bold]sheet.png"):
        assert name in printed
