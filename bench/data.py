"""Episodes per second, against a straightforward port of the field's loaders, and memory.

    python bench/data.py                  # phantom volumes of 36×256×256
    python bench/data.py --root CHAOST2   # a folder in the field's layout
    python bench/data.py --sabs-size      # 30 volumes of 127×256×256: 250 million voxels

Each ends with a table of the loader by workers and batch size: seconds to the first batch,
episodes per second, and the memory of all processes together, shared pages counted once (PSS):
their own pages, and pages of the mapped files, which the system takes back when it needs them.

The port reads all volumes into memory, looks the slices of a random supervoxel up in the label
volume for every episode, and transforms the chosen image and mask one after the other with
scipy, affine map first, then the elastic field.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import psutil
import torch
from scipy import ndimage

from gmrd.data.build import data_module
from gmrd.data.datamodule import EpisodeDataModule
from gmrd.data.phantom import make_phantom_volume
from gmrd.data.volume import load_volume
from gmrd.io.nifti_writer import write_nifti

TARGET = 5.0
GPU_EPISODES_PER_SECOND = 40.0
"""36,000 episodes in 15 minutes."""


class PortedLoader:
    """What a public loader does for an episode, written plainly with numpy and scipy."""

    def __init__(self, data: EpisodeDataModule) -> None:
        self.volumes = [
            load_volume(case, with_pseudo_label=True) for case in data.split.train_cases
        ]

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
        write_nifti(root / f"image_{case}.nii.gz", volume.image, affine)
        body = volume.image > 60
        write_nifti(root / f"supervoxel_{case}.nii.gz", (blocks * body).astype(np.int32), affine)
    return root


def sabs_root(root: Path, n_cases: int = 30) -> Path:
    """Volumes of the size and number of SABS; all alike, as only their size matters here."""
    volume = make_phantom_volume(1, size=256, n_slices=127)
    z, y, x = np.indices(volume.image.shape)
    blocks = (z // 16) * 64 + (y // 32) * 8 + x // 32 + 1
    for name, array in (("image", volume.image), ("supervoxel", blocks * (volume.image > 60))):
        first = root / f"{name}_1.nii.gz"
        write_nifti(first, array, np.diag([1.2, 1.2, 3.0, 1.0]))
        for case in range(2, n_cases + 1):
            shutil.copy(first, root / f"{name}_{case}.nii.gz")
    return root


def data_set(root: Path, cache_dir: Path, *, real: bool, **loader: int) -> EpisodeDataModule:
    """All cases train: the one fold tests nothing."""
    layout = {
        "images": "chaos_MR_T2_normalized/image_{case}.nii.gz" if real else "image_{case}.nii.gz",
        "pseudo_labels": "supervoxels_5000/superpix-MIDDLE_{case}.nii.gz"
        if real
        else "supervoxel_{case}.nii.gz",
    }
    return data_module(
        name="bench", root=root, labels=None, classes={}, augmentation={}, cache_dir=cache_dir,
        folds=[[]], n_validation_episodes=0, n_episodes=10**6, **layout, **loader,
    )  # fmt: skip


def memory() -> tuple[float, float]:
    """Proportional MiB of this process and its workers: their own pages, pages of files."""
    main_process = psutil.Process()
    fields = {"Pss_Anon:": 0, "Pss_Shmem:": 0, "Pss_File:": 0}
    for process in (main_process, *main_process.children(recursive=True)):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            name, kilobytes, *_ = line.split()
            if name in fields:
                fields[name] += int(kilobytes)
    own = fields["Pss_Anon:"] + fields["Pss_Shmem:"]  # shared: the batches that workers hand over
    return own / 1024, fields["Pss_File:"] / 1024


def loader_table(make: Callable[..., EpisodeDataModule], n: int) -> None:
    """Print a row for every number of workers and batch size, over n episodes each."""
    private, files = memory()
    print(f"\nbefore: {private:.0f} MiB of its own, {files:.0f} MiB of files (libraries)")
    print("workers  batch  first batch  episodes/s  own MiB  files MiB")
    for workers, batch in product((0, 1, 2, 4), (1, 8)):
        start = time.perf_counter()
        batches = iter(make(num_workers=workers, batch_size=batch).train_dataloader())
        next(batches)
        first = time.perf_counter() - start
        for _ in range(n // batch // 3):  # every worker opens its volumes
            next(batches)
        start = time.perf_counter()
        for _ in range(n // batch):
            next(batches)
        speed = n // batch * batch / (time.perf_counter() - start)
        private, files = memory()
        row = f"{workers:7} {batch:6} {first:10.2f} s {speed:11.1f} {private:8.0f} {files:10.0f}"
        print(row, flush=True)
        del batches


def compare_with_port(data: EpisodeDataModule, n: int) -> None:
    dataset = data.episodes()
    for index in range(len(data.split.train_cases) * 6):
        dataset[index]
    ours = rate(dataset.__getitem__, n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    port = rate(PortedLoader(data), max(n // 10, 20))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"gmrd                   {ours:8.1f} episodes/s, {1000 / ours:.1f} ms each")
    print(f"straightforward port   {port:8.1f} episodes/s, {1000 / port:.1f} ms each")
    print(f"ratio                  {ours / port:8.1f} (aim: {TARGET:g})")
    print(f"the port's volumes     {(after - before) / 1024:8.1f} MiB more of private memory")


def fill_cache(data: EpisodeDataModule) -> None:
    """Print how long the first episode takes with no cache, and all volumes once."""
    start = time.perf_counter()
    data.episodes()[0]
    first = time.perf_counter() - start
    n = len(list(data.episode_source().volumes))
    whole = time.perf_counter() - start
    size = sum(p.stat().st_size for p in data.data.cache_dir.rglob("*.pt"))
    print(f"first episode          {first:8.2f} s, with no cache")
    print(f"whole cache            {whole:8.1f} s, {n} cases, {size / 2**20:.0f} MiB on disk")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder that holds chaos_MR_T2_normalized")
    parser.add_argument("--sabs-size", action="store_true", help="250 million voxels, no port")
    parser.add_argument("-n", type=int, default=300, help="episodes of gmrd to time")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    with tempfile.TemporaryDirectory() as folder:
        made = sabs_root if arguments.sabs_size else phantom_root
        root = arguments.root or made(Path(folder))
        make = partial(data_set, root, Path(folder) / "cache", real=arguments.root is not None)
        fill_cache(make())
        print(f"GPU aim                {GPU_EPISODES_PER_SECOND:8.1f} episodes/s")
        loader_table(make, arguments.n)
        if not arguments.sabs_size:
            compare_with_port(make(), arguments.n)


if __name__ == "__main__":
    main()
