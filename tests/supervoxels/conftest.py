"""The method once more, as slowly and obviously as it can be said."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

GOLDEN = Path(__file__).parent.parent / "golden"

DIRECTIONS = [(0, 1, 0), (0, 1, 1), (0, 0, 1), (0, 1, -1), (1, 1, 0), (1, 1, 1), (1, 0, 1)]
DIRECTIONS += [(1, -1, 0), (1, -1, -1), (1, 0, -1), (1, 1, -1), (1, -1, 1), (1, 0, 0)]

Segment = Callable[..., NDArray[np.int32]]


def sorted_edges(image: NDArray[Any], spacing: Sequence[float]) -> list[tuple[float, int, int]]:
    s = spacing[0] / spacing[2]
    weights = {0: {1: 1.0, 2: 1.0}, 1: {0: s * s, 1: (1 + s * s) / 2, 2: (2 + s * s) / 3}}
    index = np.arange(image.size).reshape(image.shape)
    edges = []
    for dz, dy, dx in DIRECTIONS:
        weight = weights[dz][abs(dy) + abs(dx)]
        for z, y, x in np.ndindex(*image.shape):
            inside = (z + dz, y + dy, x + dx)
            if all(0 <= i < n for i, n in zip(inside, image.shape, strict=True)):
                difference = float(image[z, y, x]) - float(image[inside])
                cost = float(np.sqrt(weight * (difference * difference)))
                edges.append((cost, int(index[z, y, x]), int(index[inside])))
    return sorted(edges, key=lambda edge: edge[0])


def slow_felzenszwalb(
    image: NDArray[Any],
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    scale: float = 1.0,
    min_size: int,
) -> NDArray[np.int32]:
    member = list(range(image.size))  # the smallest voxel of each voxel's segment
    size = dict.fromkeys(member, 1)
    inner = dict.fromkeys(member, 0.0)

    def find(voxel: int) -> int:
        while member[voxel] != voxel:
            voxel = member[voxel]
        return voxel

    def join(a: int, b: int) -> int:
        root, other = min(a, b), max(a, b)
        member[other] = root
        size[root] += size[other]
        return root

    def threshold(a: int) -> np.float32:
        return np.float32(inner[a] + scale / 255 / size[a])

    edges = sorted_edges(image, spacing)
    for cost, a, b in edges:
        a, b = find(a), find(b)
        if a != b and cost < float(min(threshold(a), threshold(b))):
            inner[join(a, b)] = cost
    for _, a, b in edges:
        a, b = find(a), find(b)
        if a != b and min(size[a], size[b]) < min_size:
            join(a, b)
    roots = np.array([find(voxel) for voxel in range(image.size)])
    return np.unique(roots, return_inverse=True)[1].reshape(image.shape).astype(np.int32)


@pytest.fixture(scope="session")
def reference() -> Segment:
    return slow_felzenszwalb


@pytest.fixture(scope="session")
def small() -> dict[str, NDArray[Any]]:
    with np.load(GOLDEN / "supervoxels_small.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def hashes() -> dict[str, dict[str, Any]]:
    return json.loads((GOLDEN / "supervoxels_chaost2.json").read_text())
