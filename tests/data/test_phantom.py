"""The phantom is anatomy-like, reproducible, and read like any data set."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gmrd.data.phantom import make_phantom, make_phantom_volume


def test_the_seed_decides() -> None:
    one, again, other = (make_phantom_volume(seed, size=48) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.image, again.image)
    assert not np.array_equal(one.label, other.label)


@pytest.mark.parametrize("seed", range(5))
def test_every_case_has_its_organs_on_their_sides(seed: int) -> None:
    volume = make_phantom_volume(seed, size=64)
    assert np.isfinite(volume.image).all()
    centres = {}
    for organ in (1, 2, 3, 4):
        where = np.argwhere(volume.label == organ)
        assert len(np.unique(where[:, 0])) >= 5
        centres[organ] = where.mean(axis=0)
    assert centres[1][2] < 32 < centres[4][2]
    assert centres[2][2] < 32 < centres[3][2]


def test_files_carry_millimetres_and_a_longer_set_begins_with_the_shorter(tmp_path: Path) -> None:
    short = make_phantom(tmp_path / "short", n_cases=1, seed=3, size=32)
    long = make_phantom(tmp_path / "long", n_cases=2, seed=3, size=32)
    first, same = (nib.load(folder / "image_1.nii.gz") for folder in (short, long))
    np.testing.assert_allclose(first.header.get_zooms(), (10.0, 10.0, 7.7), rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(first.dataobj), np.asarray(same.dataobj))
    assert nib.load(long / "label_2.nii.gz").shape[:2] == (32, 32)


def test_a_phantom_too_small_to_hold_organs_is_refused() -> None:
    with pytest.raises(ValueError, match="size >= 32"):
        make_phantom_volume(0, size=16)
