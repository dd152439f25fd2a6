"""Episodes: what they promise for every draw, whatever the workers and interruptions."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from gmrd.data.augmentation import Augmentation
from gmrd.data.episodes import collate_episodes
from gmrd.data.stretches import find_stretches, held_out
from gmrd.errors import InputError
from gmrd.io.nifti_writer import write_nifti
from gmrd.types import Episode
from helpers.data import MakeData
from helpers.scans import read


def same(a: Episode, b: Episode) -> bool:
    return all(
        torch.equal(getattr(a, name), getattr(b, name))
        for name in ("support_images", "support_masks", "query_images", "query_masks")
    )


@pytest.mark.parametrize(("n_shot", "n_query", "size"), [(1, 1, 64), (3, 1, 64), (2, 2, 48)])
def test_shapes(make_data: MakeData, n_shot: int, n_query: int, size: int) -> None:
    data = make_data(n_shot=n_shot, n_query=n_query, image_size=size, batch_size=3)
    batch = next(iter(data.train_dataloader()))
    assert batch.support_images.shape == batch.support_masks.shape == (3, n_shot, size, size)
    assert batch.query_images.shape == batch.query_masks.shape == (3, n_query, size, size)
    assert batch.query_masks.dtype == torch.int64


def test_every_mask_is_binary_and_no_support_is_empty(make_data: MakeData) -> None:
    dataset = make_data().episodes()
    for index in range(200):
        episode = dataset[index]
        assert not episode.any_empty_support
        for masks in (episode.support_masks, episode.query_masks):
            assert set(masks.unique().tolist()) == {0, 1}
        assert torch.isfinite(episode.support_images).all()
        assert type(episode.support_images) is type(episode.query_images) is torch.Tensor


def test_an_episode_depends_on_seed_and_number_alone(make_data: MakeData) -> None:
    data = make_data()
    forwards, backwards = data.episodes(), make_data().episodes()
    episodes = [forwards[i] for i in range(8)]
    for i in reversed(range(8)):
        assert same(backwards[i], episodes[i])
    assert not same(make_data(seed=1).episodes()[0], episodes[0])
    assert same(pickle.loads(pickle.dumps(forwards))[3], episodes[3])


@pytest.mark.parametrize("num_workers", [1, 2])
def test_any_number_of_workers_gives_the_same_episodes(
    make_data: MakeData, num_workers: int
) -> None:
    alone = list(make_data(batch_size=2).train_dataloader())
    shared = list(make_data(batch_size=2, num_workers=num_workers).train_dataloader())
    assert len(alone) == len(shared) == 6
    assert all(same(a, b) for a, b in zip(alone, shared, strict=True))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_a_worker_refuses_is_one_sentence(make_data: MakeData, num_workers: int) -> None:
    data = make_data(num_workers=num_workers, min_area=10_000)
    with pytest.raises(InputError) as refusal:
        next(iter(data.train_dataloader()))
    assert str(refusal.value).startswith("phantom: no class of any training case spans 2")
    assert "\n" not in str(refusal.value)


def test_python_ends_while_a_loader_with_workers_is_alive() -> None:
    program = (
        "from gmrd.data.loader import EpisodeLoader\n"
        "from gmrd.errors import InputError\n"
        "class Refusing(list):\n"
        "    def __getitem__(self, index): raise InputError('refused')\n"
        "try: next(iter(EpisodeLoader(Refusing('abc'), num_workers=1)))\n"
        "except InputError as error: kept = error\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)


def test_support_and_query_are_neighbouring_slices_of_the_class(make_data: MakeData) -> None:
    """Without augmentation the slices can be found in the volumes again."""
    data = make_data(augmentation=None, n_shot=2, held_out_fraction=0)
    dataset = data.episodes()
    source = dataset.sources[0]
    volumes = list(source.volumes)
    orders = set()
    for index in range(60):
        episode = dataset[index]
        images = torch.cat([episode.support_images[0], episode.query_images[0]]).numpy()
        masks = torch.cat([episode.support_masks[0], episode.query_masks[0]]).numpy() == 1
        found = [
            (v, z) for v in volumes for z in range(len(v.image)) if (v.image[z] == images[0]).all()
        ]
        assert len(found) == 1
        volume, first = found[0]
        step = 1 if (volume.image[(first + 1) % len(volume.image)] == images[1]).all() else -1
        orders.add(step)
        labels = {int(volume.pseudo_label[first][masks[0]][0])}
        for position, (image, mask) in enumerate(zip(images, masks, strict=True)):
            z = first + step * position
            assert (volume.image[z] == image).all()
            labels |= set(np.unique(volume.pseudo_label[z][mask]).tolist())
            assert mask.sum() == (volume.pseudo_label[z] == next(iter(labels))).sum()
        assert len(labels) == 1
        assert 0 not in labels
        assert masks.sum(axis=(1, 2)).max() >= 20
    assert orders == {1, -1}


def test_volumes_and_classes_are_drawn_evenly(make_data: MakeData) -> None:
    """Every volume as often as any other, and in it every class, however many its slices are."""
    dataset = make_data(augmentation=None).episodes()
    opened = [
        dataset.sources[0].open(index, length=2, validation=False)
        for index in range(len(dataset.sources[0].volumes))
    ]
    slices = {
        plane.tobytes(): (index, z)
        for index, (volume, _) in enumerate(opened)
        for z, plane in enumerate(volume.image)
    }
    drawn: Counter[tuple[int, int]] = Counter()
    for number in range(1500):
        episode = dataset[number]
        index, z = slices[episode.support_images[0, 0].numpy().tobytes()]
        mask = episode.support_masks[0, 0].numpy() == 1
        drawn[index, int(opened[index][0].pseudo_label[z][mask][0])] += 1
    by_volume = [sum(n for (of, _), n in drawn.items() if of == i) for i in range(len(opened))]
    assert chisquare(by_volume).pvalue > 0.01
    for index, (_, stretches) in enumerate(opened):
        counts = np.array([drawn[index, label] for label in stretches.labels])
        assert chisquare(counts).pvalue > 0.01
        numbers = np.array([len(starts) for starts in stretches.starts])
        assert (
            chisquare(counts, counts.sum() * numbers / numbers.sum()).pvalue < 1e-3
        )  # not by slices


def test_held_out_supervoxels_are_in_no_training_episode(make_data: MakeData) -> None:
    data = make_data(held_out_fraction=0.3)
    train, validation = data.episodes(), data.episodes(validation=True)
    for case in range(len(data.split.train_cases)):
        seen = set(train.sources[0].open(case, length=2, validation=False)[1].labels)
        held = set(validation.sources[0].open(case, length=2, validation=True)[1].labels)
        assert seen
        assert held
        assert not seen & held
    tested = {case.case_id for case in data.split.test_cases}
    assert not tested & {case.case_id for case in validation.sources[0].volumes.data}
    assert same(validation[0], data.episodes(validation=True)[0])
    n = [int(held_out(str(case), 1000, 0.2).sum()) for case in range(20)]
    assert 150 < np.mean(n) < 250


def test_setting_2_never_shows_a_test_class(make_data: MakeData) -> None:
    data = make_data(setting=2, group=1, augmentation=None)
    source = data.episode_source()
    for index in range(len(source.volumes)):
        volume, stretches = source.open(index, length=2, validation=False)
        used = {z + k for starts in stretches.starts for z in starts for k in range(2)}
        assert not volume.presence[sorted(used)][:, [2, 3]].any()
    everything = make_data().episode_source().open(0, length=2, validation=False)[1]
    assert sum(map(len, everything.starts)) > sum(map(len, stretches.starts))


def test_true_labels_of_the_other_classes(make_data: MakeData) -> None:
    data = make_data(setting=2, group=1, use_gt=True)
    source = data.episode_source()
    labels = {
        label
        for index in range(len(source.volumes))
        for label in source.open(index, length=2, validation=False)[1].labels
    }
    assert labels <= {1, 4}
    assert labels
    assert data.episodes()[0].support_masks.sum() > 0
    with pytest.raises(InputError, match="setting=2"):
        make_data(use_gt=True)


def test_a_volume_without_valid_supervoxel_is_passed_over(
    make_data: MakeData, phantom_root: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "supervoxels"
    data = make_data()
    kept = data.split.train_cases[0].case_id
    for case in data.split.train_cases:
        labels, affine = read(case.pseudo_label)
        labels = labels if case.case_id == kept else np.zeros_like(labels)
        write_nifti(empty / case.pseudo_label.name, labels.astype(np.int32), affine)
    pattern = str(empty / "superpix-MIDDLE_{case}.nii.gz")
    dataset = make_data(pseudo_labels=pattern).episodes()
    assert {dataset[i].any_empty_support for i in range(20)} == {False}
    with pytest.raises(InputError, match="min_area"):
        make_data(pseudo_labels=pattern, min_area=10_000).episodes()[0]


@pytest.mark.parametrize("empty", [(), (0,), (2,), (0, 1, 2)])
def test_collate_keeps_order_and_emptiness(make_data: MakeData, empty: tuple[int, ...]) -> None:
    dataset = make_data(n_shot=2, n_query=2).episodes()
    episodes = [replace(dataset[i], any_empty_support=i in empty) for i in range(3)]
    batch = collate_episodes(episodes)
    for name in ("support_images", "support_masks", "query_images", "query_masks"):
        parts = [getattr(episode, name)[0] for episode in episodes]
        assert not torch.equal(parts[0], parts[1])
        assert torch.equal(getattr(batch, name), torch.stack(parts))
    assert batch.any_empty_support == bool(empty)


@settings(max_examples=60)
@given(
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 30),
    st.randoms(use_true_random=False),
)
def test_windows_against_a_plain_search(
    n_slices: int, n_labels: int, length: int, min_area: int, random: object
) -> None:
    rng = np.random.default_rng(random.randint(0, 10**6))  # type: ignore[attr-defined]
    areas = rng.integers(0, 25, (n_slices, n_labels)) * (rng.random((n_slices, n_labels)) < 0.7)
    usable = rng.random(n_slices) < 0.8
    keep = rng.random(n_labels) < 0.8
    stretches = find_stretches(areas, usable, keep, length=length, min_area=float(min_area))
    expected = {
        (label, start)
        for label in range(1, n_labels)
        for start in range(n_slices - length + 1)
        if keep[label]
        and usable[start : start + length].all()
        and (areas[start : start + length, label] > 0).all()
        and areas[start : start + length, label].max() >= min_area
    }
    found = {
        (label, z) for label, zs in zip(stretches.labels, stretches.starts, strict=True) for z in zs
    }
    assert found == expected
    if found:
        assert stretches.draw(rng) in expected


@pytest.mark.parametrize("seed", range(5))
def test_augmentation_keeps_range_and_moves_image_and_mask_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    images = torch.exp(-((y - 40) ** 2 + (x - 55) ** 2) / 800)[None]
    masks = (images > 0.6).float()
    brighter = Augmentation().change_intensity(images, rng)
    torch.testing.assert_close(brighter.amin(), images.amin(), atol=1e-5, rtol=0)
    torch.testing.assert_close(brighter.amax(), images.amax(), atol=1e-5, rtol=0)
    moved, moved_masks = Augmentation().change_geometry(images, masks, rng)
    disagreement = ((moved > 0.6).float() - moved_masks).abs().sum()
    assert disagreement < 0.03 * moved_masks.sum()
    assert not torch.equal(moved_masks, masks)


def test_elastic_field_equals_scipys_gaussian_filter() -> None:
    from scipy import ndimage

    from gmrd.data.augmentation import _gaussian_factors, _smooth_noise

    field = _smooth_noise(64, 80, 5.0, np.random.default_rng(3))
    noise = np.random.default_rng(3).random((2, 64, 80), dtype=np.float32) * 2 - 1
    expected = ndimage.gaussian_filter(noise, (0, 5, 5), mode="constant", truncate=8)
    np.testing.assert_allclose(field.numpy(), expected, atol=1e-5)
    assert _gaussian_factors(256, 5.0)[0].shape[1] < 128


def test_a_transform_that_empties_the_mask_is_left_out(make_data: MakeData) -> None:
    away = {"shift": 250.0, "rotation": 0.0}
    dataset = make_data(augmentation=away).episodes()
    assert not any(dataset[i].any_empty_support for i in range(40))
