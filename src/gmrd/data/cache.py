"""Volumes prepared for training, in memory-mapped files shared by all worker processes.

A case is read, standardised and resized when it is first drawn, so training starts without delay;
afterwards its file is memory-mapped. The operating system's page cache keeps what fits, once for
all workers, so a worker's private memory does not grow with the data set. A voxel takes 7 bytes on
disk (image float32, supervoxel uint16, label uint8): 1.8 GB for the 250 million voxels of SABS.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int, UInt8, UInt16
from monai.data import Dataset

from gmrd.data.cases import Case
from gmrd.data.volume import Intensities, Volume, load_volume, resize_slices
from gmrd.errors import InputError
from gmrd.io.atomic import replacing

FORMAT = 2
"""Increase this number whenever the content of a cache entry changes."""


@dataclass(frozen=True)
class CachedVolume:
    """Memory-mapped arrays of a case at the training size; see :class:`VolumeCache`.

    Attributes:
        image: slices, standardised as the data set says.
        pseudo_label: Supervoxel of every pixel, 0 for background.
        label: Class ids, all 0 where the case has no ground truth.
        min_area_scale: Pixels at this size per pixel of the file.
    """

    case_id: str
    image: Float32[np.ndarray, "z size size"]
    pseudo_label: UInt16[np.ndarray, "z size size"]
    label: UInt8[np.ndarray, "z size size"]
    pseudo_label_areas: Int[np.ndarray, "z labels"]
    label_areas: Int[np.ndarray, "z classes"]
    min_area_scale: float

    @property
    def presence(self) -> Bool[np.ndarray, "z classes"]:
        """Whether slice z shows class c."""
        return self.label_areas > 0


class VolumeCache(Dataset):  # type: ignore[misc]
    """A MONAI dataset of prepared volumes by number, in memory-mapped files.

    MONAI's ``PersistentDataset`` reads whole entries into private memory and names them by file
    paths only. Here an entry is memory-mapped, and its name is a digest of the case's files (path,
    size, modification time) and of all settings, so that a changed file or setting never matches an
    old entry.

    Args:
        cases: The volumes' files, with their supervoxels.
        folder: Folder of the entries.
        image_size: Side of the training slices in pixels.
        label_values: See :func:`gmrd.data.volume.load_volume`.
        check_geometry: See :func:`gmrd.data.volume.load_volume`.
        intensity: Likewise.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        folder: Path,
        image_size: int,
        label_values: Mapping[int, int] | None = None,
        check_geometry: bool = True,
        intensity: Intensities = "z_score",
    ) -> None:
        super().__init__(data=list(cases))
        self.folder, self.image_size = folder, image_size
        self.label_values, self.check_geometry = dict(label_values or {}), check_geometry
        self.intensity = intensity

    def _transform(self, index: int) -> CachedVolume:
        """A case's arrays, prepared on first use."""
        case = self.data[index]
        entry = self.folder / f"{case.case_id}-{self._digest(case)}.pt"
        if not entry.is_file():
            prepared = self._prepare(case)
            with replacing(entry) as temporary, temporary.open("wb") as file:
                torch.save(prepared, file)
        content = _open(entry)
        scale = content.pop("min_area_scale")
        arrays = {name: tensor.numpy() for name, tensor in content.items()}
        return CachedVolume(case_id=case.case_id, min_area_scale=scale, **arrays)

    def _digest(self, case: Case) -> str:
        values = sorted(self.label_values.items())
        facts: list[Any] = [FORMAT, self.image_size, values, self.check_geometry, self.intensity]
        for path in (case.image, case.label, case.pseudo_label):
            if path is None:
                continue
            if not path.is_file():
                raise InputError(
                    f"{path} does not exist (it may have been moved since the training started)"
                )
            status = path.stat()
            facts.append([str(path.resolve()), status.st_size, status.st_mtime_ns])
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]

    def _prepare(self, case: Case) -> dict[str, Any]:
        volume = load_volume(
            case,
            label_values=self.label_values,
            check_geometry=self.check_geometry,
            with_pseudo_label=True,
            intensity=self.intensity,
        )
        arrays = _at_size(volume, self.image_size)
        tensors = {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in arrays.items()}
        pixels = math.prod(volume.image.shape[1:])
        return {**tensors, "min_area_scale": self.image_size**2 / pixels}


def _open(entry: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(entry, mmap=True, weights_only=True)
    except Exception as error:  # torch raises many types on damaged files
        raise InputError(f"{entry} is damaged: delete it; it will be recomputed") from error
    return content


def _at_size(volume: Volume, size: int) -> dict[str, np.ndarray]:
    assert volume.pseudo_label is not None
    pseudo_label = resize_slices(_compact(volume.pseudo_label), size, nearest=True)
    label = np.zeros(volume.image.shape, np.uint8) if volume.label is None else volume.label
    label = resize_slices(label, size, nearest=True)
    return {
        "image": resize_slices(volume.image, size, nearest=False),
        "pseudo_label": pseudo_label.astype(np.uint16),
        "label": label,
        "pseudo_label_areas": _areas(pseudo_label),
        "label_areas": _areas(label),
    }


def _compact(labels: np.ndarray) -> np.ndarray:
    """Labels renumbered without gaps, 0 kept, so that the table of areas stays small."""
    present = np.union1d([0], labels)
    if len(present) > np.iinfo(np.uint16).max:
        raise InputError(f"{len(present)} supervoxels in a volume: raise min_size")
    return np.searchsorted(present, labels)


def _areas(labels: np.ndarray) -> np.ndarray:
    """Pixels of every label in every slice, shape (z, labels)."""
    n = int(labels.max()) + 1
    return np.stack([np.bincount(plane.ravel(), minlength=n) for plane in labels])
