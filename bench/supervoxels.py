"""Time and peak memory of the supervoxels, beside what scikit-image offers, and over sizes.

    python bench/supervoxels.py            # about a minute; --large adds 512×512×200 (5 GB)

Every measurement has a process of its own. Memory is the peak above the process with the image
loaded. On a busy machine read the CPU column. With GMRD_TEST_DATA the image is a real volume.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

SPACING = (7.7, 1.25, 1.25)
SIZES = [(18, 128, 128), (36, 256, 256), (72, 256, 256), (100, 384, 384)]
LARGE = (200, 512, 512)


def image_of(shape: tuple[int, int, int]) -> np.ndarray:
    """A real volume, tiled or cropped to the shape, or smooth noise with as many grey values."""
    root = os.environ.get("GMRD_TEST_DATA")
    if root is None:
        from scipy import ndimage

        smooth = ndimage.gaussian_filter(np.random.default_rng(0).random(shape), (0.5, 3, 3))
        grey = np.rint(1000 * (smooth - smooth.min()) / np.ptp(smooth))
    else:
        import nibabel as nib

        path = Path(root, "CHAOST2", "chaos_MR_T2_normalized", "image_3.nii.gz")
        real = nib.load(path).get_fdata().T
        wide = [(0, max(0, n - m)) for n, m in zip(shape, real.shape, strict=True)]
        grey = np.pad(real, wide, mode="reflect")[tuple(slice(n) for n in shape)]
    return np.ascontiguousarray(255 * (grey - grey.min()) / np.ptp(grey))


def by_gmrd(image: np.ndarray, n_threads: int) -> np.ndarray:
    from gmrd.supervoxels import felzenszwalb

    min_size = min(5000, image.size // 10)
    return felzenszwalb(image, spacing=SPACING, min_size=min_size, n_threads=n_threads)


def by_felzenszwalb_slices(image: np.ndarray) -> np.ndarray:
    from skimage.segmentation import felzenszwalb

    return np.stack([felzenszwalb(axial, scale=1, sigma=0, min_size=400) for axial in image])


def by_slic(image: np.ndarray) -> np.ndarray:
    from skimage.segmentation import slic

    return slic(image, n_segments=200, compactness=1.0, spacing=SPACING, channel_axis=None)


METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gmrd, 1 thread": lambda image: by_gmrd(image, 1),
    "gmrd, 2 threads": lambda image: by_gmrd(image, 2),
    "scikit-image felzenszwalb, slice by slice": by_felzenszwalb_slices,
    "scikit-image slic": by_slic,
}


def measure_here(method: str, shape: tuple[int, int, int]) -> dict[str, float]:
    """Seconds, CPU seconds, peak MB and segments; to be called in a fresh process."""
    METHODS[method](image_of((4, 32, 32)))  # imports
    image = image_of(shape)
    Path("/proc/self/clear_refs").write_text("5")  # starts the peak anew
    before = resident("VmRSS")
    start, start_cpu = time.perf_counter(), time.process_time()
    labels = METHODS[method](image)
    return {
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - start_cpu,
        "megabytes": (resident("VmHWM") - before) / 1024,
        "segments": float(labels.max() + 1),
    }


def resident(key: str) -> int:
    """Kilobytes of memory now (VmRSS) or at most so far (VmHWM)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(next(line for line in lines if line.startswith(key)).split()[1])


def measure(method: str, shape: tuple[int, int, int], repeats: int = 3) -> dict[str, float]:
    """The fastest of some runs."""
    command = [sys.executable, __file__, "--one", json.dumps([method, shape])]
    runs = [json.loads(subprocess.check_output(command)) for _ in range(repeats)]
    return min(runs, key=lambda run: run["cpu"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="also 200×512×512")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        method, shape = json.loads(options.one)
        print(json.dumps(measure_here(method, tuple(shape))))
        return
    table = Table("method", "shape", "s", "CPU s", "MB", "segments", "ns/voxel")
    jobs = [(method, SIZES[1]) for method in METHODS]
    sizes = [size for size in SIZES if size != SIZES[1]] + [LARGE] * options.large
    jobs += [("gmrd, 1 thread", size) for size in sizes]
    for method, shape in jobs:
        result = measure(method, shape, options.repeats)
        table.add_row(
            method,
            "×".join(map(str, shape)),
            f"{result['seconds']:.2f}",
            f"{result['cpu']:.2f}",
            f"{result['megabytes']:.0f}",
            f"{result['segments']:.0f}",
            f"{1e9 * result['cpu'] / np.prod(shape):.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
