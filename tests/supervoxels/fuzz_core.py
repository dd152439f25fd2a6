"""Random input for the extension `_core` that lies on the path; any crash is a finding.

Run by tests/sanitize.sh on a build with sanitizers. Ends with the number of calls of each kind.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from typing import Any

import _core
import numpy as np

DTYPES = [np.float64] * 6 + [np.float32] * 6 + [np.int16, np.float16, np.complex128]
ODD_VALUES = [np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 0.0]


def pick(rng: np.random.Generator, values: list[Any]) -> Any:
    return values[rng.integers(len(values))]


def random_image(rng: np.random.Generator) -> np.ndarray:
    n_dimensions = 3 if rng.random() < 0.9 else rng.integers(0, 6)
    limit = pick(rng, [2, 5, 12, 33])
    shape = tuple(rng.integers(0 if rng.random() < 0.05 else 1, limit, n_dimensions))
    levels = pick(rng, [1, 2, 5, 50, 10**6])
    image = rng.integers(0, levels, shape) * pick(rng, [1.0, 255 / 49, 1e-3, 1e98, 1e-110])
    if image.size and rng.random() < 0.1:
        image.flat[rng.integers(image.size)] = pick(rng, ODD_VALUES)
    with np.errstate(all="ignore"):
        image = image.astype(pick(rng, DTYPES))
    return np.asfortranarray(image) if rng.random() < 0.05 else image


def random_arguments(rng: np.random.Generator, n_voxels: int) -> dict[str, Any]:
    # Small batches take a pass over the volume, by all threads, for every few edges.
    batch_sizes = [1, 3, 100] if n_voxels < 100 else [10**4, 10**5]
    return {
        "z_over_x": pick(rng, [1.0, 6.16, 0.5, 1e-6, 1e6, rng.random() * 10, 0.0, -1.0, np.nan]),
        "scale": pick(rng, [0.0, 1 / 255, 200.0, 1e300, 5e-324, -1.0, np.inf, np.nan]),
        "min_size": pick(rng, [-(2**63), -1, 0, 1, 10, 500, 2**31, 2**63 - 1, 2**64]),
        "n_threads": pick(rng, [1, 1, 1, 1, 2, 3, 0, -1, 10**6]),
        "batch_size": pick(rng, [0, 2**40, -1, *batch_sizes]),
    }


def check(labels: np.ndarray, image: np.ndarray) -> None:
    assert labels.shape == image.shape
    assert labels.dtype == np.int32
    values, first = np.unique(labels, return_index=True)
    assert values.tolist() == list(range(values.size))
    assert (np.diff(first) > 0).all()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        image = random_image(rng)
        arguments = random_arguments(rng, image.size)
        try:
            check(_core.felzenszwalb3d(image, **arguments), image)
            outcomes["segmented"] += 1
        except (ValueError, TypeError) as error:
            outcomes[f"refused with {type(error).__name__}"] += 1
    print(", ".join(f"{count} {name}" for name, count in sorted(outcomes.items())))
    if outcomes["segmented"] < 100:
        raise SystemExit("too few inputs were good to have tested anything")


if __name__ == "__main__":
    main()
