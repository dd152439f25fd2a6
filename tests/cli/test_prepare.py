"""gmrd-prepare from a download in CHAOS's layout to a root that training reads."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_module

from gmrd.cli.prepare import prepare
from gmrd.data.build import plain, read_description
from gmrd.data.description import DatasetDescription
from gmrd.data.phantom import make_phantom_volume
from gmrd.data.supervoxel_files import make_up_to_date
from gmrd.errors import InputError
from helpers.commands import RunHere, environment
from helpers.raw_data import write_dicom_series, write_masks
from helpers.scans import read
from helpers.warm import Warm


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cases, numbered 2 and 10, as CHAOS lays out its MR data."""
    source = tmp_path_factory.mktemp("download")
    for case in (2, 10):
        volume = make_phantom_volume(case, size=96, n_slices=10)
        folder = source / "MR" / str(case) / "T2SPIR"
        image = np.rint(volume.image).astype(np.uint16)
        write_dicom_series(folder / "DICOM_anon", image, spacing=(7.7, 2.6, 2.6))
        write_masks(folder / "Ground", volume.label, stem="IMG-0004-")
    return source


def data_set(root: Path, *overrides: str) -> DatasetDescription:
    with initialize_config_module("gmrd.conf", version_base="1.3"):
        cfg = compose("prepare", [f"root={root}", "data.n_folds=2", *overrides])
    return read_description(plain(cfg.data))


@pytest.fixture(scope="module")
def prepared(download: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prepared")
    assert prepare(data_set(root), download, n_jobs=2) == 2
    return root


def test_what_is_written_trains(prepared: Path, tmp_path: Path) -> None:
    data = data_set(prepared, f"data.cache_dir={tmp_path}", "data.image_size=64")
    assert [case.case_id for case in data.cases] == ["2", "10"]
    make_up_to_date(data.cases, data.supervoxels)
    image, affine = read(data.cases[0].image)
    assert image.shape[1:] == (256, 256)
    np.testing.assert_allclose(np.abs(np.diag(affine)), [1.25, 1.25, 7.7, 1])
    label, _ = read(prepared / "chaos_MR_T2_normalized" / "label_2.nii.gz")
    assert set(np.unique(label)) == {0, 1, 2, 3, 4}
    assert not list(prepared.rglob(".*"))


def test_manifest_says_what_was_done(prepared: Path) -> None:
    manifest = json.loads((prepared / "manifest.json").read_text())
    assert [case["case_id"] for case in manifest["cases"]] == ["2", "10"]
    assert manifest["classes"]["4"] == "spleen"
    assert manifest["preparation"]["spacing"] == [1.25, 1.25, 7.7]
    case = manifest["cases"][0]
    assert case["shape_xyz"][:2] == [256, 256]
    assert case["label_voxels"]["1"] > 0
    assert len(case["sha256"]) == 3


def test_second_run_does_nothing_and_an_interrupted_one_goes_on(
    prepared: Path, download: Path
) -> None:
    before = {p: p.stat().st_mtime_ns for p in prepared.rglob("*.nii.gz")}
    assert prepare(data_set(prepared), download) == 0
    assert before == {p: p.stat().st_mtime_ns for p in prepared.rglob("*.nii.gz")}
    (prepared / "prepared" / "10.json").unlink()
    assert prepare(data_set(prepared), download) == 1
    (prepared / "prepared" / "10.json").write_text('{"facts": ')
    assert prepare(data_set(prepared), download) == 1
    assert prepare(data_set(prepared), download) == 0
    after = {p: p.stat().st_mtime_ns for p in prepared.rglob("*.nii.gz")}
    assert {p.name for p in after if after[p] != before[p]} == {
        "image_10.nii.gz",
        "label_10.nii.gz",
        "superpix-MIDDLE_10.nii.gz",
    }


CASES = (1, 2, 3, 4)


def test_a_killed_run_is_taken_up(
    prepared: Path, download: Path, warm: Warm, tmp_path: Path
) -> None:
    """Killed with all its processes after the first case; what was whole then is not made again."""
    source = tmp_path / "source"
    for case in CASES:
        shutil.copytree(download / "MR" / "10", source / "MR" / str(case))
    root = tmp_path / "root"
    arguments = [f"source={source}", f"root={root}", "n_jobs=1"]
    with warm.running(
        "gmrd.cli.prepare", *arguments, cwd=tmp_path, env=environment(), apart=True
    ) as command:
        while not list(root.glob("prepared/[!.]*.json")) and not command.ended:
            time.sleep(0.05)
        os.killpg(command.pid, signal.SIGKILL)
    assert command.status == -signal.SIGKILL
    records = sorted(root.glob("prepared/[!.]*.json"))
    assert 1 <= len(records) < len(CASES)
    assert not (root / "manifest.json").exists()
    for path in root.glob("*/[!.]*.nii.gz"):
        read(path)
    before = {p: p.stat().st_mtime_ns for p in records}
    leftover = root / "chaos_MR_T2_normalized" / ".part-x.image_4.nii.gz"
    leftover.write_bytes(b"half a file")
    assert prepare(data_set(root), source) == len(CASES) - len(records)
    assert before == {p: p.stat().st_mtime_ns for p in records}
    assert not list(root.rglob(".*"))
    manifest = json.loads((root / "manifest.json").read_text())
    assert [case["case_id"] for case in manifest["cases"]] == [str(case) for case in CASES]
    assert _same_volumes(prepared, "10", root, "4")
    everything = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    assert prepare(data_set(root), source) == 0
    assert everything == {p: p.stat().st_mtime_ns for p in root.rglob("*")}


def _same_volumes(root: Path, case: str, other: Path, other_case: str) -> bool:
    """Whether one process and two gave the same image, label and supervoxels."""
    names = ("chaos_MR_T2_normalized/image", "chaos_MR_T2_normalized/label")
    return all(
        np.array_equal(
            read(root / f"{name}_{case}.nii.gz")[0],
            read(other / f"{name}_{other_case}.nii.gz")[0],
        )
        for name in (*names, "supervoxels_5000/superpix-MIDDLE")
    )


def test_cases_are_left_out(prepared: Path, download: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(prepared, tmp_path / "root"))
    assert prepare(data_set(root, "data.exclude=[10]"), download) == 0
    manifest = json.loads((root / "manifest.json").read_text())
    assert [case["case_id"] for case in manifest["cases"]] == ["2"]
    with pytest.raises(InputError, match=r"do not exist: \['7'\]; found \['2', '10'\]"):
        prepare(data_set(root, "data.exclude=[7]"), download)


def test_changed_settings_are_noticed(prepared: Path, download: Path) -> None:
    from gmrd.data.prepare.runner import find_jobs

    data = data_set(prepared, "data.preparation.clip_percentile=99.0")
    settings = data.preparation
    jobs = find_jobs(download, prepared, data.layout, settings, data.supervoxels)
    assert not any(job.is_done() for job in jobs)


def test_refusals(download: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Set source to the folder that holds MR/"):
        prepare(data_set(tmp_path), tmp_path)
    with pytest.raises(InputError, match=r"has no preparation: set data\.preparation\.images"):
        prepare(data_set(tmp_path, "data.preparation=null"), download)
    (tmp_path / "MR/3/T2SPIR/DICOM_anon").mkdir(parents=True)
    for unlabelled in ("refuse", "skip"):
        with pytest.raises(InputError, match="no label for case 3"):
            prepare(
                data_set(tmp_path / "out", f"data.preparation.unlabelled={unlabelled}"), tmp_path
            )


STEPS = {
    "mask_order": "files",
    "unlabelled": "skip",
    "check_geometry": False,
    "series": {"Modality": "MR"},
    "orientation": None,
    "window": [0, 250],
    "clip_percentile": None,
    "border": 8,
    "spacing": None,
    "spacing_factor": [2, 2, 1],
    "size": 32,
}


def test_every_step_is_chosen_on_the_command_line(
    run_here: RunHere, download: Path, tmp_path: Path
) -> None:
    """Without a plus, though the data set's file does not name all of them."""
    given = [f"data.preparation.{key}={_written(value)}" for key, value in STEPS.items()]
    sources = f"source={download}", f"root={tmp_path}/root"
    assert run_here("prepare", *sources, "n_jobs=1", "data.n_cases=1", *given) == 0
    used = json.loads((tmp_path / "root/manifest.json").read_text())["preparation"]
    assert {key: used[key] for key in STEPS} == STEPS
    image, affine = read(tmp_path / "root/chaos_MR_T2_normalized/image_2.nii.gz")
    assert image.shape[1:] == (32, 32)
    np.testing.assert_allclose(np.abs(np.diag(affine)), [5.2, 5.2, 7.7, 1], atol=1e-3)
    assert 0 <= image.min() < image.max() <= 255


def _written(value: Any) -> str:
    """A value as YAML on a command line."""
    return json.dumps(value).replace('"', "")


def test_check_geometry_of_the_data_set_is_that_of_its_preparation(tmp_path: Path) -> None:
    assert _checked(data_set(tmp_path)) == (True, True)
    assert _checked(data_set(tmp_path, "data.check_geometry=false")) == (False, False)
    only = "data.preparation.check_geometry=false"
    assert _checked(data_set(tmp_path, only)) == (True, False)


def _checked(data: DatasetDescription) -> tuple[bool, bool]:
    assert data.preparation is not None
    return data.check_geometry, data.preparation.check_geometry


def test_without_images_a_data_set_is_prepared_by_other_means(tmp_path: Path) -> None:
    assert data_set(tmp_path, "data=phantom").preparation is None
    with pytest.raises(InputError, match=r"preparation\.size=-3: expected a whole number from 1"):
        data_set(tmp_path, "data=phantom", "data.preparation.size=-3")
    with pytest.raises(InputError, match=r"did you mean data\.preparation\.spacing\?"):
        data_set(tmp_path, "+data.preparation.spacings=null")


def test_command_explains_itself(
    run_here: RunHere, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("prepare", f"root={tmp_path}", f"source={tmp_path}") == 2
    message = capsys.readouterr().err
    assert "Set source to" in " ".join(message.split())
    assert "Traceback" not in message
