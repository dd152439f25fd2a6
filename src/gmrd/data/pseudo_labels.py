"""Computing missing supervoxels before training needs them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import track

from gmrd.data.cases import Case
from gmrd.data.supervoxel_files import make_supervoxels
from gmrd.errors import InputError
from gmrd.values.kinds import Count, NonNegative


@dataclass(frozen=True)
class Supervoxels:
    """Settings of :func:`gmrd.supervoxels.pseudo_labels`.

    Attributes:
        min_size: Smallest number of voxels: 5000 for the abdomen, 1000 for the heart.
        scale: Larger values merge more.
        sigma: Standard deviation of the smoothing beforehand, in voxels.
    """

    min_size: Count = 5000
    scale: NonNegative = 1.0
    sigma: NonNegative = 0.0


def writable_root(root: Path, cache_dir: Path) -> Path:
    """Folder for supervoxels that have to be computed: the data root, or the cache if read-only."""
    first = next((p for p in (root, *root.parents) if p.exists()), Path("/"))
    if os.access(first, os.W_OK):
        return root
    return cache_dir / "supervoxels" / str(root.resolve()).strip("/").replace("/", "-")


def make_up_to_date(cases: Sequence[Case], settings: Supervoxels) -> None:
    """Compute the supervoxels that are missing or whose image or settings changed.

    Files not made by gmrd are kept. Shows a progress bar.
    """
    for case in track(cases, description="Supervoxels", transient=True):
        try:
            make_supervoxels(case.case_id, case.image, case.pseudo_label, asdict(settings))
        except InputError as error:
            remedy = f"fix it, or leave the case out with data.exclude=[{case.case_id}]"
            raise InputError(f"{error}; {remedy}") from error
