"""A phantom data set with random supervoxels, so that no test here needs the compiled extension."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from gmrd.data.build import data_module
from gmrd.data.datamodule import EpisodeDataModule
from gmrd.io.nifti_writer import write_nifti
from helpers.data import MakeData
from helpers.scans import read


@pytest.fixture(scope="session")
def phantom_root(phantom: Path) -> Path:
    """The phantom with supervoxels: the nearest of 24 random points."""
    rng = np.random.default_rng(0)
    for path in sorted((phantom / "phantom_normalized").glob("image_*")):
        image, affine = read(path)
        seeds = np.ones(image.shape, dtype=bool)
        seeds[tuple((rng.random((3, 24)) * np.array(image.shape)[:, None]).astype(int))] = False
        nearest = ndimage.distance_transform_edt(seeds, return_indices=True)[1]
        label = np.ravel_multi_index(tuple(nearest), image.shape)
        label = np.unique(label, return_inverse=True)[1].reshape(image.shape) + 1
        label[image < 50] = 0
        name = path.name.replace("image_", "superpix-MIDDLE_")
        write_nifti(phantom / "supervoxels_500" / name, label.astype(np.int32), affine)
    return phantom


@pytest.fixture
def make_data(phantom_root: Path, tmp_path: Path) -> MakeData:
    """Builds a data module on the phantom; arguments override."""

    def make(**overrides: object) -> EpisodeDataModule:
        settings: dict[str, object] = {
            "name": "phantom",
            "root": phantom_root,
            "images": "phantom_normalized/image_{case}.nii.gz",
            "labels": "phantom_normalized/label_{case}.nii.gz",
            "pseudo_labels": "supervoxels_500/superpix-MIDDLE_{case}.nii.gz",
            "classes": {1: "liver", 2: "right_kidney", 3: "left_kidney", 4: "spleen"},
            "test_groups": [[1, 4], [2, 3]],
            "n_folds": 3,
            "image_size": 64,
            "min_area": 20,
            "augmentation": {},
            "n_episodes": 12,
            "n_validation_episodes": 4,
            "cache_dir": tmp_path / "cache",
        }
        return data_module(**{**settings, **overrides})

    return make
