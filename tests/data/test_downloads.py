"""gmrd-prepare on every download layout: the command, what it writes, and the published steps."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_module

from gmrd.data.build import plain, read_description
from gmrd.data.description import DatasetDescription
from gmrd.data.phantom import make_phantom_volume
from helpers import raw_data
from helpers.commands import RunHere
from helpers.published_steps import Published, Spacing, published_ct, published_mri
from helpers.scans import read

Pixels = tuple[np.ndarray, np.ndarray]
Publish = Callable[[np.ndarray, np.ndarray, Spacing], Published]

IMAGE_TOLERANCE = 1e-3
"""Largest difference, as a share of the range of intensities."""
MAX_TIES = 0.02
"""Labels must be equal but for ties in rounding, which are at most this share of organ voxels."""


@dataclass(frozen=True)
class Download:
    """A data set's layout, the pixels that go into it, and what the public scripts do to them."""

    cases: tuple[str, str]
    spacing: Spacing
    write: Callable[[Path, str, np.ndarray, np.ndarray, Spacing], None]
    publish: Publish
    classes: tuple[int, ...]
    modality: str = "mr"
    cut: tuple[slice, ...] = (slice(None),)
    reversed_rows: bool = False


def mri_at(*target: float) -> Publish:
    return lambda image, label, spacing: published_mri(image, label, spacing, target)  # type: ignore[arg-type]


DOWNLOADS = {
    "chaost2": Download(
        ("2", "10"), (9.0, 1.6, 1.6), raw_data.write_chaost2, mri_at(7.7, 1.25, 1.25),
        (1, 2, 3, 4), reversed_rows=True,
    ),
    "sabs": Download(
        ("0001", "0021"), (3.0, 0.7, 0.7), raw_data.write_sabs, published_ct, (1, 6),
        modality="ct",
    ),
    "cmr": Download(
        ("9", "35"), (10.0, 1.4, 1.4), raw_data.write_cmr, mri_at(8.0, 1.25, 1.25), (1, 2, 3),
        cut=(slice(None), slice(20, -17), slice(20, -30)),
    ),
    "prostate_mri": Download(
        ("001000", "001003"), (3.3, 0.8, 0.8), raw_data.write_prostate_mri,
        mri_at(2.5, 0.75, 0.75), (1, 2, 3, 4),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def pixels() -> dict[str, list[Pixels]]:
    """Two MR volumes and two CT volumes with labels: real ones where there are any."""
    root = Path(os.environ.get("GMRD_TEST_DATA", "nowhere"))
    real = {"mr": root / "CHAOST2" / "chaos_MR_T2_normalized", "ct": root / "CHAOS_CT"}
    mr = [_real_mr(real["mr"], c) if real["mr"].is_dir() else _phantom(c, 256) for c in (5, 10)]
    ct = [_real_ct(real["ct"], i) if real["ct"].is_dir() else _phantom_ct(i) for i in (0, 1)]
    return {"mr": mr, "ct": ct}


def _real_mr(folder: Path, case: int) -> Pixels:
    image, label = (read(folder / f"{kind}_{case}.nii.gz")[0] for kind in ("image", "label"))
    return np.rint(image[15:23]), label[15:23].astype(np.uint8)


def _real_ct(folder: Path, start: int) -> Pixels:
    from gmrd.data.prepare.settings import Preparation
    from gmrd.data.prepare.sources import read_case

    settings = Preparation(images="", labels="", label_ranges={6: [1, 255]})
    raw = read_case(folder / "DICOM_anon", folder / "Ground", settings)
    assert raw.label is not None
    chosen = slice(20 + start, None, 10)
    return _with_spleen(np.rint(raw.scan.image[chosen]), raw.label[chosen])


def _phantom(seed: int, size: int) -> Pixels:
    """Phantom pixels, drawn small and repeated, which is quicker."""
    volume = make_phantom_volume(seed, size=64, n_slices=8)
    times = size // 64
    image, label = (a.repeat(times, 1).repeat(times, 2) for a in (volume.image, volume.label))
    return np.rint(image), label


def _phantom_ct(seed: int) -> Pixels:
    image, label = _phantom(seed, 512)
    return _with_spleen(image[2:7] - 300, np.where(label[2:7] == 1, 6, 0).astype(np.uint8))


def _with_spleen(image: np.ndarray, liver: np.ndarray) -> Pixels:
    """A block as class 1 beside the liver, so that two classes are interpolated."""
    label = liver.copy()
    label[1:4, 200:260, 330:380] = 1
    return image, label


@pytest.fixture(params=DOWNLOADS)
def prepared(
    request: pytest.FixtureRequest,
    pixels: dict[str, list[Pixels]],
    tmp_path: Path,
    run_here: RunHere,
) -> tuple[str, Path, list[Pixels]]:
    """A download written and the command run on it: its name, the root, the raw pixels."""
    name: str = request.param
    download = DOWNLOADS[name]
    raw = [(image[download.cut], label[download.cut]) for image, label in pixels[download.modality]]
    raw = [(image, np.where(np.isin(label, download.classes), label, 0)) for image, label in raw]
    for case, (image, label) in zip(download.cases, raw, strict=True):
        download.write(tmp_path / "source", case, image, label, download.spacing)
    assert run_here("prepare", *_arguments(name, tmp_path)) == 0
    return name, tmp_path / "root", raw


def _arguments(name: str, folder: Path) -> list[str]:
    return [f"data={name}", f"source={folder / 'source'}", f"root={folder / 'root'}", "n_jobs=1"]


def test_layout(
    prepared: tuple[str, Path, list[Pixels]],
    tmp_path: Path,
    run_here: RunHere,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, root, raw = prepared
    data = _data_set(name, root)
    assert tuple(case.case_id for case in data.cases) == DOWNLOADS[name].cases
    for case, pixels in zip(data.cases, raw, strict=True):
        _check_against_published(DOWNLOADS[name], data, root, case.case_id, pixels)
    _check_manifest(name, root)
    assert run_here("prepare", *_arguments(name, tmp_path)) == 0
    assert "nothing to do" in capsys.readouterr().out


def _data_set(name: str, root: Path) -> DatasetDescription:
    with initialize_config_module("gmrd.conf", version_base="1.3"):
        cfg = compose("prepare", [f"data={name}", f"root={root}"])
    return read_description(plain(cfg.data))


def _check_against_published(
    download: Download, data: DatasetDescription, root: Path, case_id: str, pixels: Pixels
) -> None:
    image, label = (a[:, ::-1] for a in pixels) if download.reversed_rows else pixels
    expected = download.publish(image, label, download.spacing)
    (case,) = (c for c in data.cases if c.case_id == case_id)
    ours, _ = read(case.image)
    our_label = data.volume(case).label
    assert our_label is not None
    assert ours.shape == our_label.shape == expected.image.shape
    assert expected.inside.mean() > 0.2
    difference = np.abs(ours - expected.image)[expected.inside].max()
    assert difference < IMAGE_TOLERANCE * (expected.image.max() - expected.image.min())
    assert expected.tied.sum() < MAX_TIES * (expected.label > 0).sum()
    assert not (our_label != expected.label)[expected.inside & ~expected.tied].any()
    for class_id in download.classes:
        assert (our_label == class_id).sum() > 100


def _check_manifest(name: str, root: Path) -> None:
    manifest = json.loads((root / "manifest.json").read_text())
    download = DOWNLOADS[name]
    assert manifest["name"] == name
    assert manifest["classes"].keys() >= {str(c) for c in download.classes}
    assert tuple(case["case_id"] for case in manifest["cases"]) == download.cases
    assert manifest["preparation"]["size"] == 256
    files = {p.relative_to(root).as_posix(): p for p in root.rglob("*.nii.gz")}
    for case in manifest["cases"]:
        assert case["label_voxels"].keys() == {"0", *(str(c) for c in download.classes)}
        for file, digest in case["sha256"].items():
            assert hashlib.sha256(files.pop(file).read_bytes()).hexdigest() == digest
        image, affine = read(next(root.glob(f"*normalized/image_{case['case_id']}.nii.gz")))
        assert case["shape_xyz"] == list(image.shape[::-1])
        np.testing.assert_allclose(case["affine"], affine, atol=1e-4)
    assert not files
