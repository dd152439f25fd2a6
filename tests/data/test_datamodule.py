"""The data module: refusals, folds, subsets, evaluation cases, caches, joined data sets."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from scipy.stats import binomtest

from gmrd.data.build import data_module, plain, read_description
from gmrd.data.cache import VolumeCache
from gmrd.data.datamodule import EpisodeDataModule
from gmrd.data.phantom import make_phantom
from gmrd.errors import InputError
from gmrd.io.nifti_writer import write_nifti
from helpers.data import MakeData
from helpers.scans import read


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"root": None}, r"data.root is not set: set data.root=/path/to/phantom"),
        ({"fold": 3}, r"fold=3 is out of range: choose 0 to 2"),
        ({"fold": 2, "folds": [["1"], ["2"]]}, r"data.folds has 2"),
        ({"folds": [["1", "99"]]}, r"not found: \['99'\]"),
        ({"n_cases": 40}, r"not between 1 and the 6 cases"),
        ({"exclude": [17]}, r"do not exist: \['17'\]"),
        ({"labels": "phantom_normalized/truth_{case}.nii.gz"}, r"no label for case 1, 2"),
        ({"images": "phantom_normalized/image.nii.gz"}, r"must hold \{case\} exactly once"),
        ({"setting": 3}, r"setting=3: expected 1 or 2"),
        ({"setting": 2, "group": 2}, r"data.group=2 does not exist"),
        ({"setting": 2, "test_groups": []}, r"no data\.test_groups.*use setting=1"),
    ],
)
def test_refusals(make_data: MakeData, overrides: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(make_data(**overrides).split.test_cases)


def test_missing_root_says_how_to_get_the_data(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data(root=tmp_path / "none", how_to_get="Download it from there.")
    with pytest.raises(InputError, match=r"does not exist.*data\.root.*Download it from there\."):
        list(data.data.cases)


def test_folds_and_subsets(make_data: MakeData) -> None:
    data = make_data(fold=2)
    assert [c.case_id for c in data.split.test_cases] == ["5", "6", "1"]
    assert [c.case_id for c in data.split.train_cases] == ["2", "3", "4"]
    data = make_data(exclude=[2], n_cases=4, folds=[["1", 3]])
    assert [c.case_id for c in data.data.cases] == ["1", "3", "4", "5"]
    assert [c.case_id for c in data.split.train_cases] == ["4", "5"]


@pytest.mark.parametrize(
    ("support", "n_shot", "expected"),
    [
        ("last", 1, {"1": ["3"], "2": ["3"]}),
        (0, 1, {"2": ["1"], "3": ["1"]}),
        ("rotate", 1, {"1": ["2"], "2": ["3"], "3": ["1"]}),
        ("last", 2, {"1": ["2", "3"]}),
    ],
)
def test_evaluation_cases(
    make_data: MakeData, support: str | int, n_shot: int, expected: dict[str, list[str]]
) -> None:
    data = make_data(support=support, n_shot=n_shot, setting=2, group=1)
    cases = list(data.split.evaluation_cases())
    found = {c.query.case_id: [s.case_id for s in c.supports[2]] for c in cases}
    assert found == expected
    for case in cases:
        assert set(case.supports) == {2, 3}
        assert case.query.label is not None
        assert case.query.image.shape[1:] == (64, 64)
        assert case.query.spacing == pytest.approx((7.7, 5.0, 5.0))
        assert abs(float(case.query.image.mean())) < 1e-3
        assert abs(float(case.query.image.std()) - 1) < 1e-3


def test_a_case_without_the_class_is_neither_support_nor_query(
    make_data: MakeData, phantom_root: Path, tmp_path: Path
) -> None:
    for case in range(1, 7):
        name = f"label_{case}.nii.gz"
        label, affine = read(phantom_root / "phantom_normalized" / name)
        label[(label == 4) & (case == 3)] = 0
        write_nifti(tmp_path / name, label.astype(np.uint8), affine)
    data = make_data(labels=str(tmp_path / "label_{case}.nii.gz"))
    supports = {c.query.case_id: c.supports for c in data.split.evaluation_cases()}
    assert [s.case_id for s in supports["1"][1]] == ["3"]
    assert [s.case_id for s in supports["1"][4]] == ["2"]
    assert 4 not in supports["2"]
    with pytest.raises(InputError, match=r"class 4 \(spleen\) is in 2 cases of fold 0"):
        list(
            make_data(
                labels=str(tmp_path / "label_{case}.nii.gz"), n_shot=2
            ).split.evaluation_cases()
        )


def test_label_values_of_the_challenge(
    make_data: MakeData, phantom_root: Path, tmp_path: Path
) -> None:
    values = {1: 200, 2: 500, 3: 600, 4: 4}
    for case in range(1, 7):
        name = f"label_{case}.nii.gz"
        label, affine = read(phantom_root / "phantom_normalized" / name)
        for class_id, value in values.items():
            label[label == class_id] = value
        write_nifti(tmp_path / name, label.astype(np.int16), affine)
    pattern = str(tmp_path / "label_{case}.nii.gz")
    data = make_data(labels=pattern, label_values={200: 1, 500: 2, 600: 3})
    for direct, mapped in zip(make_data().data.cases, data.data.cases, strict=True):
        expected, found = make_data().data.volume(direct).label, data.data.volume(mapped).label
        assert expected is not None
        assert found is not None
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(InputError, match=r"data\.label_values"):
        next(iter(make_data(labels=pattern).split.evaluation_cases()))


def test_cache_is_renewed_when_a_file_changes(make_data: MakeData, tmp_path: Path) -> None:
    root = tmp_path / "data"
    make_phantom(root, n_cases=6, seed=3, size=64)
    data = make_data(
        root=root, pseudo_labels="supervoxels/{case}.nii.gz", supervoxels={"min_size": 200}
    )
    data.prepare_data()
    cache, case = data.episode_source().volumes, data.split.train_cases[0]
    first = cache[0]
    entries = sorted(cache.folder.iterdir())
    if Path("/proc/self/maps").is_file():
        assert str(entries[0]) in Path("/proc/self/maps").read_text()
    again = cache[0]
    assert np.array_equal(again.image, first.image)
    assert sorted(cache.folder.iterdir()) == entries
    image, affine = read(case.image)
    image[0] += 500
    write_nifti(case.image, image, affine)
    assert not np.array_equal(cache[0].image, first.image)
    other = VolumeCache([case], cache.folder, 32)
    assert other[0].image.shape[1:] == (32, 32)
    assert not [p for p in cache.folder.iterdir() if p.name.startswith(".")]


def test_ranks_take_the_place_of_z_scores(make_data: MakeData) -> None:
    z_scored, ranked = (make_data(intensity=how) for how in ("z_score", "ranks"))
    for data in (z_scored, ranked):
        case = data.split.train_cases[0]
        kept, read_anew = data.episode_source().volumes[0].image, data.data.volume(case).image
        if kept.shape == read_anew.shape:
            np.testing.assert_array_equal(kept, read_anew)
    first, second = (
        data.data.volume(data.split.train_cases[0]).image for data in (z_scored, ranked)
    )
    assert np.abs(second).max() < 1.74  # uniform ranks of variance 1
    order = np.argsort(first.ravel(), kind="stable")
    assert (np.diff(second.ravel()[order]) > -1e-3).all()  # the order of z-scores, but for rounding


def test_a_split_is_read_as_a_network_was_trained(make_data: MakeData) -> None:
    split = make_data().split
    ranked = split.reading("ranks")
    case = split.test_cases[0]
    assert ranked.test_cases == split.test_cases
    expected = make_data(intensity="ranks").data.volume(case).image
    np.testing.assert_array_equal(ranked.data.volume(case).image, expected)
    assert not np.array_equal(split.data.volume(case).image, expected)


def test_a_damaged_entry_and_a_full_disk(
    make_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_data().episode_source().volumes
    cache[0]
    (entry,) = cache.folder.iterdir()
    entry.write_bytes(entry.read_bytes()[:1000])
    with pytest.raises(InputError, match=rf"{entry.name} is damaged: delete it"):
        cache[0]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match=r"No space left on device\): free some space"):
        cache[1]
    assert list(cache.folder.iterdir()) == [entry]


def test_files_of_the_other_extension_are_pointed_out(make_data: MakeData) -> None:
    with pytest.raises(
        InputError, match=r"There are 6 of .*image_\{case\}\.nii\.gz: add .data\.im"
    ):
        list(make_data(images="phantom_normalized/image_{case}.nii").data.cases)


def test_volumes_of_one_slice(make_data: MakeData, phantom_root: Path, tmp_path: Path) -> None:
    """They are passed over; where their supervoxels are still to be made, they are refused."""
    root = Path(shutil.copytree(phantom_root, tmp_path / "data"))
    for path in root.rglob("*.nii.gz"):
        array, affine = read(path)
        if path.name.split(".")[0].endswith(("4", "5")):
            write_nifti(path, array[12:13].astype(np.float32), affine)
    data = make_data(root=root)
    assert [case.case_id for case in data.split.train_cases] == ["4", "5", "6"]
    assert data.episodes()[0].support_masks.sum() > 0
    with pytest.raises(InputError, match="no class of any training case spans 2 neighbouring"):
        make_data(root=root, exclude=[6], folds=[["1", "2", "3"]]).episodes()[0]
    data.data.cases[3].pseudo_label.unlink()
    with pytest.raises(InputError, match=r"image_4.*a single slice.*data\.exclude=\[4\]"):
        data.prepare_data()


def test_supervoxels_of_a_read_only_root_go_to_the_cache(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    make_phantom(root, n_cases=2, seed=3, size=64)
    before = set(root.rglob("*"))
    monkeypatch.setattr("gmrd.data.supervoxel_files.os.access", lambda *_: False)
    settings = {"pseudo_labels": "supervoxels/{case}.nii.gz", "supervoxels": {"min_size": 200}}
    data = make_data(root=root, folds=[["1"]], **settings)
    data.prepare_data()
    assert data.split.train_cases[0].pseudo_label.is_relative_to(tmp_path / "cache")
    assert data.episodes()[0].support_masks.sum() > 0
    assert set(root.rglob("*")) == before


def test_missing_supervoxels_are_made_and_renewed(make_data: MakeData, tmp_path: Path) -> None:
    root = tmp_path / "data"
    make_phantom(root, n_cases=6, seed=3, size=64)
    settings = {"root": root, "pseudo_labels": "supervoxels/{case}.nii.gz"}
    make_data(**settings, supervoxels={"min_size": 200}).prepare_data()
    files = sorted((root / "supervoxels").iterdir())
    assert [f.name for f in files] == ["4.nii.gz", "5.nii.gz", "6.nii.gz"]
    before = {f: f.stat().st_mtime_ns for f in files}
    make_data(**settings, supervoxels={"min_size": 200}).prepare_data()
    assert before == {f: f.stat().st_mtime_ns for f in files}
    make_data(**settings, supervoxels={"min_size": 300}).prepare_data()
    assert not any(before[f] == f.stat().st_mtime_ns for f in files)


def test_joined_data_sets_are_drawn_alike(make_data: MakeData, tmp_path: Path) -> None:
    other_root = tmp_path / "other"
    make_phantom(other_root, n_cases=6, seed=9, size=96)
    other = make_data(name="other", root=other_root, supervoxels={"min_size": 200})
    main = make_data()
    joined = data_module(
        joined={"other": other}, name="both", root=main.data.root, images=main.data.layout.images,
        labels=main.data.layout.labels, pseudo_labels=main.data.layout.pseudo_labels,
        classes=main.data.classes,
        n_folds=3, image_size=64, min_area=20, augmentation=None, cache_dir=tmp_path / "c",
    )  # fmt: skip
    joined.prepare_data()
    dataset = joined.episodes()
    assert [source.name for source in dataset.sources] == ["both", "other"]
    of_source = {
        plane.tobytes(): number
        for number, source in enumerate(dataset.sources)
        for volume in source.volumes
        for plane in volume.image
    }
    drawn = []
    for number in range(200):
        episode = dataset[number]
        images = torch.cat([episode.support_images[0], episode.query_images[0]]).numpy()
        (source,) = {of_source[image.tobytes()] for image in images}  # all slices of one data set
        drawn.append(source)
    assert binomtest(sum(drawn), len(drawn)).pvalue > 0.05
    assert [c.query.case_id for c in joined.split.evaluation_cases()] == ["1", "2"]


@pytest.mark.parametrize("name", ["chaost2", "sabs", "cmr", "prostate_mri", "chaos_ct", "phantom"])
def test_every_data_config_builds(name: str, tmp_path: Path) -> None:
    from gmrd.data.prepare.settings import Preparation

    with initialize_config_module("gmrd.conf", version_base="1.3"):
        cfg = compose(overrides=[f"+data={name}", f"data.root={tmp_path}"])
    data = instantiate(cfg.data)
    assert isinstance(data, EpisodeDataModule)
    assert {c for group in data.data.test_groups for c in group} <= set(data.data.classes)
    assert data.data.preparation is None or isinstance(data.data.preparation, Preparation)
    with pytest.raises(InputError, match=r"no images found.*data\.root"):
        list(data.data.cases)


def test_joined_config_builds(tmp_path: Path) -> None:
    with initialize_config_module("gmrd.conf", version_base="1.3"):
        cfg = compose(
            overrides=["+data=chaost2_with_sabs", f"data.root={tmp_path}", "+fold=2",
                       f"data.joined.sabs.root={tmp_path}"]
        )  # fmt: skip
    data = instantiate(cfg.data)
    (sabs,) = data.joined
    assert sabs.split.choice.fold == 2
    assert sabs.data.supervoxels.min_size == 5000
    assert sabs.data.layout.pseudo_labels.startswith("supervoxels_5000/")


def test_a_misspelt_setting_is_named(make_data: MakeData) -> None:
    with pytest.raises(InputError, match=r"n_shots is not a setting: did you mean data\.n_shot\?"):
        make_data(n_shots=2)


def test_a_description_is_read_without_a_data_module(tmp_path: Path) -> None:
    with initialize_config_module("gmrd.conf", version_base="1.3"):
        cfg = compose(overrides=["+data=sabs", f"data.root={tmp_path}", "data.folds=[[a],[3]]",
                                 "data.supervoxels.min_size=700"])  # fmt: skip
    data = read_description(plain(cfg.data))
    assert (data.root, data.folds) == (tmp_path, [["a"], ["3"]])
    assert data.layout.pseudo_labels == "supervoxels_700/superpix-MIDDLE_{case}.nii.gz"
    assert data.classes[6] == "liver"
