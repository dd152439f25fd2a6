"""Refusing a scan that will not fit into memory, before the system kills the process."""

from __future__ import annotations

import math
from pathlib import Path

from gmrd.errors import InputError
from gmrd.io.scan import Scan
from gmrd.matching.pairs import HELD

FIXED = 0.6e9
"""Bytes for encoding, whatever the scan."""

BYTES_PER_WORKING_VOXEL = 30
BYTES_PER_WORKING_VOXEL_AND_ORGAN = 33
"""For features, and for probabilities while they are matched and refined."""

CELL = 256
"""Working voxels of a cell that is aligned."""
BYTES_PER_PAIR = 1.6
"""For the weights of pairs of a query's and a support's cells, of which some 0.63 are body; at most
:data:`gmrd.matching.pairs.HELD` are held, and they are gone before organs are matched."""

BYTES_PER_VOXEL = 10
"""Of the scan: for what is resampled, labelled and drawn beside the image itself."""

BYTES_PER_VOXEL_AND_ORGAN = 4
"""A network's probability map on the scan's voxels; matching resamples one map at a time."""

LONGEST = 3000.0
"""Length in mm from which a voxel size is wrong: no scanner's table moves as far."""


def refuse_too_large(
    scan: Scan, n_organs: int, working: tuple[int, ...], *, with_network: bool
) -> None:
    """Refuse a scan before the work if it will not fit into free memory.

    The constants are upper bounds of the increase in resident memory, measured on abdominal MRI
    of 37 to 111 slices with 1 to 8 organs.

    Args:
        scan: the query.
        n_organs: number of organs to segment.
        working: shape (z, y, x) of the working slices on which it is matched.
        with_network: whether a network's probability maps are kept.

    Raises:
        InputError: with the memory that is needed and that is free.
    """
    voxels, working_voxels = math.prod(scan.image.shape), math.prod(working)
    per_voxel = BYTES_PER_VOXEL + BYTES_PER_VOXEL_AND_ORGAN * n_organs * with_network
    per_working_voxel = BYTES_PER_WORKING_VOXEL + BYTES_PER_WORKING_VOXEL_AND_ORGAN * n_organs
    aligning = min(BYTES_PER_PAIR * (working_voxels / CELL) ** 2, 4 * HELD)
    needed = FIXED + voxels * per_voxel + max(aligning, working_voxels * per_working_voxel)
    free = free_bytes()
    if free is not None and needed > free:
        longest = max(n * mm for n, mm in zip(scan.image.shape, scan.spacing, strict=True))
        raise InputError(
            f"{scan.source or scan.name}: segmenting {n_organs} organs in {scan.image.shape[::-1]} "
            f"voxels takes up to {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} are free: "
            + (
                "crop or resample the scan, or name fewer organs"
                if longest < LONGEST
                else f"it is {longest / 1000:.1f} m long: correct the voxel size in its header"
            )
        )


def free_bytes(
    meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Memory left by the system and by a container's limit; None if neither is known."""
    found = []
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        if "MemAvailable" in lines:
            found.append(1024 * int(lines["MemAvailable"].split()[0]))
    limit, used = group / "memory.max", group / "memory.current"
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()).isdigit():
        found.append(int(most) - int(used.read_text()))
    return min(found, default=None)
