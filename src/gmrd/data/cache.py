"""Volumes as training needs them, kept in files that all worker processes share.

A case is read, z-scored and resized once; then its arrays are memory-mapped. The operating
system's page cache holds what fits, once for all workers, so the private memory of a worker does
not grow with the data set. On disk a voxel takes 7 bytes (image float32, supervoxel uint16,
label uint8): 1.8 GB for the 250 million voxels of SABS. A case is prepared when it is first
drawn, so training starts at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8, UInt16

from gmrd.data.cases import Case
from gmrd.data.volume import Volume, load_volume, resize_slices
from gmrd.errors import InputError

FORMAT = 1
"""Raised whenever the content of a cache entry changes."""


@dataclass(frozen=True)
class CachedVolume:
    """Memory-mapped arrays of a case at the training size; see :class:`VolumeCache`.

    Attributes:
        image: z-scored slices.
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


@dataclass(frozen=True)
class VolumeCache:
    """Opens cases through a folder of prepared arrays.

    An entry is named by a digest of the case's files (path, size, time of change) and of all
    settings here, so neither a changed file nor a changed setting meets an old entry.

    Attributes:
        folder: Where the entries lie.
        image_size: Side of the training slices in pixels.
        label_values: See :func:`gmrd.data.volume.load_volume`.
        check_geometry: See :func:`gmrd.data.volume.load_volume`.
    """

    folder: Path
    image_size: int
    label_values: Mapping[int, int] = field(default_factory=dict)
    check_geometry: bool = True

    def open(self, case: Case) -> CachedVolume:
        """The case's arrays; prepares them if this is the first time."""
        entry = self.folder / f"{case.case_id}-{self._digest(case)}"
        if not entry.is_dir():
            self._write(case, entry)
        arrays = {p.stem: np.load(p, mmap_mode="r") for p in sorted(entry.glob("*.npy"))}
        scale = float(arrays.pop("min_area_scale"))
        return CachedVolume(case_id=case.case_id, min_area_scale=scale, **arrays)

    def _digest(self, case: Case) -> str:
        files = [p for p in (case.image, case.label, case.pseudo_label) if p is not None]
        facts = [FORMAT, self.image_size, sorted(self.label_values.items()), self.check_geometry]
        for path in files:
            if not path.is_file():
                raise InputError(f"{path} does not exist (it may have been moved since the start)")
            status = path.stat()
            facts.append([str(path.resolve()), status.st_size, status.st_mtime_ns])
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]

    def _write(self, case: Case, entry: Path) -> None:
        volume = load_volume(
            case,
            label_values=self.label_values,
            check_geometry=self.check_geometry,
            with_pseudo_label=True,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=self.folder, prefix=f".{case.case_id}."))
        try:
            for name, array in _prepare(volume, self.image_size).items():
                np.save(temporary / f"{name}.npy", array)
            os.rename(temporary, entry)
        except OSError:
            if not entry.is_dir():  # another worker may have been faster; then its entry serves
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _prepare(volume: Volume, size: int) -> dict[str, np.ndarray]:
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
        "min_area_scale": np.array(size * size / np.prod(volume.image.shape[1:])),
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
