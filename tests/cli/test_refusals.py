"""Refused input: each message names the file or key, what was found, and the remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gmrd.cli.train import main


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Hydra may write down a run that does not begin."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def root(phantom: Path, tmp_path: Path) -> Path:
    """A phantom of one's own to break."""
    return Path(shutil.copytree(phantom, tmp_path / "root"))


def refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *overrides: str
) -> str:
    """What ``gmrd-train`` says when it refuses, on one line."""
    quiet = ("model=gmrd_small", "evaluate=false", "trainer.max_steps=1")
    monkeypatch.setattr("sys.argv", ["gmrd-train", *quiet, *overrides])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code not in (0, None)
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    return " ".join(printed.split())


def assert_says(message: str, *parts: str) -> None:
    # A long path may be broken across lines by the terminal's width.
    squeezed = message.replace(" ", "")
    missing = [part for part in parts if part.replace(" ", "") not in squeezed]
    assert not missing, f"{missing} not in: {message}"


def test_a_data_root_that_is_not_set(monkeypatch, capsys) -> None:
    message = refusal(monkeypatch, capsys, "data=chaost2")
    assert_says(message, "data.root is not set", "chaos_MR_T2_normalized/image_{case}", "zenodo")


def test_a_data_root_that_does_not_exist(monkeypatch, capsys, tmp_path) -> None:
    message = refusal(monkeypatch, capsys, "data=chaost2", f"data.root={tmp_path / 'nowhere'}")
    assert_says(message, "nowhere", "does not exist", "Set data.root", "gmrd-prepare")


def test_an_image_without_its_label(monkeypatch, capsys, root) -> None:
    (root / "phantom_normalized" / "label_3.nii.gz").unlink()
    message = refusal(monkeypatch, capsys, "data=phantom", f"data.root={root}")
    assert_says(message, "no label for case 3", "label_3.nii.gz", "data.exclude=[3]")


def test_shapes_that_disagree(monkeypatch, capsys, root) -> None:
    path = root / "phantom_normalized" / "label_5.nii.gz"
    label = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(label.dataobj)[:, :, 1:], label.affine), path)
    message = refusal(monkeypatch, capsys, "data=phantom", f"data.root={root}")
    assert_says(message, "label_5.nii.gz", "has shape", "but its image has")


def test_an_image_that_is_no_image(monkeypatch, capsys, root) -> None:
    (root / "phantom_normalized" / "image_5.nii.gz").write_bytes(b"not an image")
    message = refusal(monkeypatch, capsys, "data=phantom", f"data.root={root}")
    assert_says(message, "image_5.nii.gz", "cannot be read")


def test_an_image_with_nan(monkeypatch, capsys, root) -> None:
    path = root / "phantom_normalized" / "image_5.nii.gz"
    image = nib.load(path)
    voxels = np.array(image.dataobj)
    voxels[3, 4, 5] = np.nan
    nib.save(nib.Nifti1Image(voxels, image.affine), path)
    message = refusal(monkeypatch, capsys, "data=phantom", f"data.root={root}")
    assert_says(message, "image_5.nii.gz", "NaN")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("fold=5", ("fold=5 is out of range", "0 to 4")),
        ("fold=x", ("fold=x is no whole number",)),
        ("seed=-1", ("seed=-1 is less than 0",)),
        ("setting=3", ("setting=3 is neither 1 nor 2",)),
        ("trainer.precision=bf15", ("the settings of trainer do not work", "'bf15' is invalid")),
        ("model.optimizer.lr=-1", ("AdamW(lr=-1", "Invalid learning rate")),
        ("data.exclude=[99]", ("data.exclude", "99")),
        ("ckpt_path=missing.ckpt", ("ckpt_path=missing.ckpt",)),
        ("data.rot=x", ("data.rot", "Key 'rot'")),
        ("model.network.n_foregound=3", ("n_foregound",)),
        ("modle=gmrd", ("modle",)),
    ],
)
def test_values_and_keys(monkeypatch, capsys, phantom, override, parts) -> None:
    message = refusal(monkeypatch, capsys, "data=phantom", f"data.root={phantom}", override)
    assert_says(message, *parts)
