"""Supervoxels that a data root lacks are computed before training needs them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from rich.progress import track

from gmrd.data.cases import Case
from gmrd.data.supervoxel_files import make_supervoxels
from gmrd.data.volume import Volume
from gmrd.supervoxels import pseudo_labels


@dataclass(frozen=True)
class Supervoxels:
    """Settings of :func:`gmrd.supervoxels.pseudo_labels`.

    Attributes:
        min_size: Least number of voxels: 5000 for the abdomen, 1000 for the heart.
        scale: Larger values merge more.
        sigma: Standard deviation of the smoothing beforehand, in voxels.
    """

    min_size: int = 5000
    scale: float = 1.0
    sigma: float = 0.0


def writable_root(root: Path, cache_dir: Path) -> Path:
    """Folder for supervoxels that have to be computed: the data root, or the cache if read-only."""
    first = next((p for p in (root, *root.parents) if p.exists()), Path("/"))
    if os.access(first, os.W_OK):
        return root
    return cache_dir / "supervoxels" / str(root.resolve()).strip("/").replace("/", "-")


def compute_missing(cases: Sequence[Case], settings: Supervoxels) -> None:
    """Compute and write the supervoxels of every case that has none, with a progress bar."""
    missing = [case for case in cases if not case.pseudo_label.is_file()]
    for case in track(missing, description="Supervoxels", disable=not missing):
        make_supervoxels(case.case_id, case.image, case.pseudo_label, asdict(settings))


def compute(volume: Volume, settings: Supervoxels) -> Int32[np.ndarray, "z y x"]:
    """Supervoxels of a volume that was read without z-scoring, 0 for background."""
    return pseudo_labels(volume.image, spacing=volume.spacing, **asdict(settings))
