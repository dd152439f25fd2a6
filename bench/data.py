"""Episodes per second on one core, against a straightforward port of the field's loaders.

    python bench/data.py                  # phantom volumes of 36×256×256
    python bench/data.py --root CHAOST2   # a folder in the field's layout

The port reads all volumes into memory, looks the slices of a random supervoxel up in the label
volume for every episode, and transforms the chosen image and mask one after the other with
scipy, affine map first, then the elastic field.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy import ndimage

from gmrd.data.datamodule import EpisodeDataModule
from gmrd.data.phantom import make_phantom_volume
from gmrd.data.volume import load_volume, save_like

TARGET = 5.0
GPU_EPISODES_PER_SECOND = 40.0
"""36,000 episodes in 15 minutes."""


class PortedLoader:
    """What a public loader does for an episode, written plainly with numpy and scipy."""

    def __init__(self, data: EpisodeDataModule) -> None:
        self.volumes = [load_volume(case, with_pseudo_label=True) for case in data.train_cases]

    def __call__(self, index: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(index)
        while True:
            volume = self.volumes[rng.integers(len(self.volumes))]
            labels = volume.pseudo_label
            assert labels is not None
            present = np.unique(labels)[1:]
            mask = labels == rng.choice(present)
            slices = np.flatnonzero(mask.sum(axis=(1, 2)) > 0)
            if len(slices) < 2:
                continue
            z = int(rng.choice(slices[:-1]))
            if mask[z : z + 2].sum(axis=(1, 2)).max() >= 200:
                break
        images, masks = volume.image[z : z + 2].copy(), mask[z : z + 2].astype(np.float32)
        if rng.random() < 0.5:
            images, masks = images[::-1], masks[::-1]
        sides = [(images[0], masks[0]), (images[1], masks[1])]
        which = int(rng.random() < 0.5)
        sides[which] = (self.gamma(sides[which][0], rng), sides[which][1])
        which = int(rng.random() < 0.5)
        sides[which] = self.geometry(*sides[which], rng)
        return (*sides[0], *sides[1])

    @staticmethod
    def gamma(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        low, high = image.min(), image.max()
        scaled = (image - low) / (high - low + 1e-5)
        return scaled ** rng.uniform(0.5, 1.5) * (high - low) + low

    @staticmethod
    def geometry(
        image: np.ndarray, mask: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        angle, shear = np.deg2rad(rng.uniform(-5, 5, 2))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.array([[1, np.tan(shear)], [0, 1]]) / rng.uniform(0.9, 1.2)
        centre = (np.array(image.shape) - 1) / 2
        offset = centre - matrix @ centre + rng.uniform(-5, 5, 2)
        image = ndimage.affine_transform(image, matrix, offset, order=1)
        mask = ndimage.affine_transform(mask, matrix, offset, order=0)
        field = [
            ndimage.gaussian_filter(rng.random(image.shape) * 2 - 1, 5, mode="constant") * 10
            for _ in range(2)
        ]
        y, x = np.meshgrid(*(np.arange(n) for n in image.shape), indexing="ij")
        where = (y + field[0], x + field[1])
        image = ndimage.map_coordinates(image, where, order=1, mode="reflect")
        return image, ndimage.map_coordinates(mask, where, order=0, mode="reflect")


def rate(make: Callable[[int], object], n: int) -> float:
    """Episodes per second after a warm-up over other episodes."""
    for index in range(n, n + 20):
        make(index)
    start = time.perf_counter()
    for index in range(n):
        make(index)
    return n / (time.perf_counter() - start)


def phantom_root(root: Path, n_cases: int = 6) -> Path:
    """Phantom volumes of CHAOST2's size, with blocks of 12×32×32 voxels as supervoxels."""
    z, y, x = np.indices((36, 256, 256))
    blocks = (z // 12) * 64 + (y // 32) * 8 + x // 32 + 1
    for case in range(1, n_cases + 1):
        volume = make_phantom_volume(case, size=256, n_slices=36)
        affine = np.diag([1.25, 1.25, 7.7, 1.0])
        save_like(root / f"image_{case}.nii.gz", volume.image, affine)
        body = volume.image > 60
        save_like(root / f"supervoxel_{case}.nii.gz", (blocks * body).astype(np.int32), affine)
    return root


def data_set(root: Path, cache_dir: Path, *, real: bool) -> EpisodeDataModule:
    layout = {
        "images": "chaos_MR_T2_normalized/image_{case}.nii.gz" if real else "image_{case}.nii.gz",
        "pseudo_labels": "supervoxels_5000/superpix-MIDDLE_{case}.nii.gz"
        if real
        else "supervoxel_{case}.nii.gz",
    }
    return EpisodeDataModule(
        name="bench", root=root, labels=None, classes={}, augmentation={}, cache_dir=cache_dir,
        n_folds=5 if real else 3, n_validation_episodes=0, n_episodes=10**6, **layout,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder that holds chaos_MR_T2_normalized")
    parser.add_argument("-n", type=int, default=300, help="episodes of gmrd to time")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.root or phantom_root(Path(folder))
        data = data_set(root, Path(folder) / "cache", real=arguments.root is not None)
        dataset = data.episodes()
        start = time.perf_counter()
        dataset[0]
        first = time.perf_counter() - start
        for index in range(len(data.train_cases) * 6):
            dataset[index]
        ours = rate(dataset.__getitem__, arguments.n)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        port = rate(PortedLoader(data), max(arguments.n // 10, 20))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size = sum(p.stat().st_size for p in (Path(folder) / "cache").rglob("*.npy"))
    print(f"first episode          {first:8.2f} s, with no cache")
    print(f"gmrd                   {ours:8.1f} episodes/s, {1000 / ours:.1f} ms each")
    print(f"straightforward port   {port:8.1f} episodes/s, {1000 / port:.1f} ms each")
    print(f"ratio                  {ours / port:8.1f} (aim: {TARGET:g})")
    print(f"GPU aim                {GPU_EPISODES_PER_SECOND:8.1f} episodes/s")
    print(f"cache                  {size / 2**20:8.1f} MiB on disk, {len(data.train_cases)} cases")
    print(f"the port's volumes     {(after - before) / 1024:8.1f} MiB more of private memory")


if __name__ == "__main__":
    main()
