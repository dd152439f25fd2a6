"""A scan that will not fit is refused with figures; large ones are interpolated in blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gmrd.errors import InputError
from gmrd.io.scan import Scan
from gmrd.predict import geometry, memory
from helpers.scans import affine


def test_what_is_free_is_the_least_that_is_told(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9 kB\nMemAvailable:  5000 kB\n")
    assert memory.free_bytes(meminfo, tmp_path) == 5000 * 1024
    (tmp_path / "memory.max").write_text("4000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert memory.free_bytes(meminfo, tmp_path) == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes(meminfo, tmp_path) == 5000 * 1024
    assert memory.free_bytes(tmp_path / "none", tmp_path / "none") is None


def test_a_scan_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = Scan("a", np.zeros((4, 5, 6), np.float32), affine(), source="a.nii")
    memory.refuse_too_large(scan, 4, (4, 32, 32), with_network=False)
    monkeypatch.setattr(memory, "free_bytes", lambda: 1_000_000)
    with pytest.raises(InputError, match=r"a\.nii: segmenting 4 organs in \(6, 5, 4\) .*crop"):
        memory.refuse_too_large(scan, 4, (4, 32, 32), with_network=False)


def test_an_impossible_length_is_blamed_on_the_voxel_size() -> None:
    scan = Scan("a", np.zeros((4, 5, 6), np.float32), affine((4500.0, 600.0, 600.0)))
    with pytest.raises(InputError, match=r"18\.0 m long: correct the voxel size in its header"):
        memory.refuse_too_large(scan, 4, (4500, 10_000, 10_000), with_network=False)


@pytest.mark.parametrize(
    ("n_organs", "working", "with_network"),
    [(9, (4, 32, 32), False), (1, (40, 32, 32), False), (1, (4, 32, 32), True)],
)
def test_organs_working_slices_and_a_networks_maps_need_memory(
    monkeypatch: pytest.MonkeyPatch, n_organs: int, working: tuple[int, ...], with_network: bool
) -> None:
    scan = Scan("a", np.zeros((40, 50, 60), np.float32), affine())
    working_voxel = memory.BYTES_PER_WORKING_VOXEL + memory.BYTES_PER_WORKING_VOXEL_AND_ORGAN
    free = memory.FIXED + scan.image.size * memory.BYTES_PER_VOXEL + 4 * 32 * 32 * working_voxel
    monkeypatch.setattr(memory, "free_bytes", lambda: int(free))
    memory.refuse_too_large(scan, 1, (4, 32, 32), with_network=False)
    with pytest.raises(InputError, match="GB of memory"):
        memory.refuse_too_large(scan, n_organs, working, with_network=with_network)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scan = Scan("a", rng.standard_normal((9, 31, 37)).astype(np.float32), affine((3, 2, 1)))
    training = geometry.TrainingGeometry("LAS", (8.0, 1.5, 1.5), (40, 33))

    def both() -> tuple[np.ndarray, np.ndarray]:
        grid = geometry.Grid.between(scan, training)
        slices = grid.slices(scan.image)
        return slices, grid.scan(slices)

    whole = both()
    monkeypatch.setattr(geometry, "BLOCK", 500)
    for found, expected in zip(both(), whole, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
