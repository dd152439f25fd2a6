"""Labels equal to those of the field's public code, element for element."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gmrd import _core
from gmrd.io.readers import read_scan
from gmrd.supervoxels import felzenszwalb, pseudo_labels, rescale

CASES = (1, 2, 3, 5, 8, 10, 13, 15, 19, 20)


def sha256(labels: NDArray[np.int32]) -> str:
    assert labels.dtype == np.int32
    return hashlib.sha256(np.ascontiguousarray(labels).tobytes()).hexdigest()


def read(folder: Path, case: int) -> tuple[NDArray[Any], tuple[float, float, float]]:
    path = folder / "chaos_MR_T2_normalized" / f"image_{case}.nii.gz"
    scan = read_scan(path, dtype=np.float64)
    return scan.image, scan.spacing


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, np.uint8])
def test_tied_costs(small: dict[str, NDArray[Any]], index: int, dtype: type) -> None:
    labels = felzenszwalb(
        small["image_zyx"].astype(dtype),
        spacing=small[f"spacing_zyx_{index}"],
        min_size=int(small[f"min_size_{index}"]),
    )
    np.testing.assert_array_equal(labels, small[f"labels_{index}"])


def test_first_pass(small: dict[str, NDArray[Any]]) -> None:
    labels = felzenszwalb(small["image_float"] * 100, spacing=(3, 1, 1), scale=50000, min_size=10)
    np.testing.assert_array_equal(labels, small["labels_float"])


@pytest.mark.parametrize("case", CASES)
def test_real_volume(case: int, chaost2: Path, hashes: dict[str, dict[str, Any]]) -> None:
    image, spacing = read(chaost2, case)
    expected = hashes[f"CHAOST2/image_{case}.nii.gz"]
    raw = felzenszwalb(rescale(image), spacing=spacing, min_size=expected["min_size"])
    assert raw.max() + 1 == expected["n_segments"]
    assert sha256(raw) == expected["raw_sha256"]
    masked = pseudo_labels(image, spacing=spacing, min_size=expected["min_size"])
    assert np.unique(masked).size == expected["masked_labels"]
    assert sha256(masked) == expected["masked_sha256"]


@pytest.mark.parametrize(("n_threads", "batch_size"), [(2, 0), (3, 0), (1, 200_000)])
def test_real_volume_in_other_batches(
    n_threads: int, batch_size: int, chaost2: Path, hashes: dict[str, dict[str, Any]]
) -> None:
    image, spacing = read(chaost2, 1)
    raw = _core.felzenszwalb3d(
        rescale(image),
        z_over_x=spacing[0] / spacing[2],
        scale=1 / 255,
        min_size=5000,
        n_threads=n_threads,
        batch_size=batch_size,
    )
    assert sha256(raw) == hashes["CHAOST2/image_1.nii.gz"]["raw_sha256"]
