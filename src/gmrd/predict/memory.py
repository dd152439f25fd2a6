"""Whether a scan's probabilities fit into memory: a sentence in place of a killed process."""

from __future__ import annotations

import math
from pathlib import Path

from gmrd.errors import InputError
from gmrd.io.scan import Scan

BYTES_PER_ORGAN = 4
"""Of a voxel: its probability."""

BYTES_BESIDE = 10
"""Of a voxel: what is compared, labelled and drawn beside the image itself."""

FIXED = 1.2e9
"""Bytes that the encoder and the working slices take of a scan of any size."""


def refuse_too_large(scan: Scan, n_organs: int) -> None:
    """Refuse a scan before the work if its organs will not fit into the memory that is free.

    Raises:
        InputError: with what is needed and what there is.
    """
    needed = FIXED + math.prod(scan.image.shape) * (BYTES_PER_ORGAN * n_organs + BYTES_BESIDE)
    free = free_bytes()
    if free is not None and needed > free:
        raise InputError(
            f"{scan.source or scan.name}: {n_organs} organs in {scan.image.shape[::-1]} voxels "
            f"take about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} are free: crop or "
            "resample the scan, or name fewer organs"
        )


def free_bytes(
    meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Memory that the system, and a container's limit, leave; None where neither tells."""
    found = []
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        if "MemAvailable" in lines:
            found.append(1024 * int(lines["MemAvailable"].split()[0]))
    limit, used = group / "memory.max", group / "memory.current"
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()).isdigit():
        found.append(int(most) - int(used.read_text()))
    return min(found, default=None)
