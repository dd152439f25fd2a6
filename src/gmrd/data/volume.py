"""A case's volume: image, label and supervoxels, read and checked against each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32, Num, UInt8

from gmrd.data.cases import Case
from gmrd.errors import InputError
from gmrd.io.affine import spacing_of
from gmrd.io.agreement import WRONG_HEADER, refuse_other_place, refuse_other_shape
from gmrd.io.readers import read_scan
from gmrd.io.scan import Scan
from gmrd.matching.ranks import standardised_ranks

Intensities = Literal["z_score", "ranks", "raw"]

ODD_SIZE = 257
"""In-plane size of files from a public resampler that adds a row and a column."""


@dataclass(frozen=True)
class Volume:
    """A volume with its labels; all arrays are indexed (z, y, x).

    Attributes:
        case_id: Id of the case.
        image: Intensities as ``load_volume`` was asked for them.
        affine: Voxel (x, y, z) to world millimetres, as nibabel gives it.
        label: Class id of every voxel, 0 for background; None where there is no ground truth.
        pseudo_label: Supervoxel of every voxel, 0 for background; None where not asked for.
    """

    case_id: str
    image: Float32[np.ndarray, "z y x"]
    affine: Float[np.ndarray, "4 4"]
    label: UInt8[np.ndarray, "z y x"] | None = None
    pseudo_label: Int32[np.ndarray, "z y x"] | None = None

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size (z, y, x) in millimetres."""
        return spacing_of(self.affine)

    def mask(self, class_id: int) -> Bool[np.ndarray, "z y x"]:
        """The ground truth's mask of a class.

        Raises:
            ValueError: the volume has no ground truth.
        """
        if self.label is None:
            raise ValueError(f"case {self.case_id} has no label to take class {class_id} from")
        found: Bool[np.ndarray, "z y x"] = self.label == class_id
        return found


def load_volume(
    case: Case,
    *,
    label_values: Mapping[int, int] | None = None,
    check_geometry: bool = True,
    with_pseudo_label: bool = False,
    intensity: Intensities = "z_score",
) -> Volume:
    """Read a case from disk.

    Volumes of 257×257 slices lose the last row and column, as the field's networks take 256.

    Args:
        case: Its files.
        label_values: Class id of each value in the label file, where the two differ.
        check_geometry: Refuse a label that is not in the place of its image.
        with_pseudo_label: Read the supervoxels too.
        intensity: ``z_score``: zero mean and unit deviation over the whole volume; ``ranks``: by
            rank within the body, see :mod:`gmrd.matching.ranks`; ``raw``: as in the file.

    Raises:
        InputError: If a file cannot be read, holds NaN or fractional labels, or disagrees with
            its image in shape or place.
    """
    scan = read_scan(case.image)
    label = None
    if case.label is not None:
        label = as_label(case.label, _fitting(case.label, scan, check_geometry), label_values or {})
    pseudo_label = None
    if with_pseudo_label:
        # Supervoxel files of other groups have no geometry, so only the shape can be checked.
        pseudo_label = trim(_fitting(case.pseudo_label, scan, False))
    image = trim(scan.image)
    return Volume(
        case_id=case.case_id,
        image=HOW[intensity](image),
        affine=scan.affine,
        label=None if label is None else trim(label),
        pseudo_label=pseudo_label,
    )


def _fitting(path: Path, scan: Scan, check_geometry: bool) -> Int32[np.ndarray, "z y x"]:
    labels = read_scan(path, dtype=np.int32)
    refuse_other_shape(path, labels.image, scan.image)
    if check_geometry:
        refuse_other_place(path, labels.affine, scan.affine, scan.image.shape, remedy=WRONG_HEADER)
    return labels.image


def as_label(
    path: Path, label: Int32[np.ndarray, "z y x"], values: Mapping[int, int]
) -> UInt8[np.ndarray, "z y x"]:
    """Class ids of a label file, its values translated by ``values`` (others stay)."""
    present = np.unique(label)
    translated = np.array([values.get(int(v), int(v)) for v in present])
    if translated.max(initial=0) > 255:
        raise InputError(
            f"{path} holds the label {int(present[translated > 255][0])}, but class ids end at "
            "255: translate it with data.label_values, such as {200: 1}"
        )
    out: UInt8[np.ndarray, "z y x"] = translated.astype(np.uint8)[np.searchsorted(present, label)]
    return out


def trim(array: Num[np.ndarray, "z y x"]) -> Num[np.ndarray, "z rows columns"]:
    """Drop the last row and column of 257×257 slices."""
    return array[:, :-1, :-1] if array.shape[1:] == (ODD_SIZE, ODD_SIZE) else array


def standardise(image: Float32[np.ndarray, "z y x"]) -> Float32[np.ndarray, "z y x"]:
    """Zero mean and unit standard deviation over the whole volume; a constant volume is all 0."""
    mean, deviation = image.mean(dtype=np.float64), image.std(dtype=np.float64)
    scaled = (image - mean) / (deviation if deviation > 0 else 1.0)
    return np.asarray(scaled, dtype=np.float32)


HOW: Mapping[str, Callable[[Float32[np.ndarray, "z y x"]], Float32[np.ndarray, "z y x"]]] = {
    "z_score": standardise,
    "ranks": standardised_ranks,
    "raw": np.asarray,
}
"""What is done to a volume's intensities, by name."""


def resize_slices(
    array: Num[np.ndarray, "z y x"], size: int, *, nearest: bool
) -> Num[np.ndarray, "z size size"]:
    """Resize every slice to ``size``×``size``: bilinear for images, nearest voxel for labels."""
    if array.shape[1:] == (size, size):
        return array
    slices = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[:, None]
    options = {"mode": "nearest-exact"} if nearest else {"mode": "bilinear", "align_corners": False}
    resized = torch.nn.functional.interpolate(slices, size=(size, size), **options)  # type: ignore[arg-type]
    out: Num[np.ndarray, "z size size"] = resized[:, 0].numpy().astype(array.dtype)
    return out
