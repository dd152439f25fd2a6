"""A case's volume: read through MONAI with every check, written atomically as NIfTI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32, Num, Shaped, UInt8
from monai.data import NibabelReader

from gmrd.data.cases import Case
from gmrd.errors import InputError
from gmrd.io.atomic import replacing

ODD_SIZE = 257
"""In-plane size of files that a public resampler makes one row and column too large."""


@dataclass(frozen=True)
class Volume:
    """A volume with what is known of it; all arrays are indexed (z, y, x).

    Attributes:
        case_id: Id of the case.
        image: Intensities, z-scored over the whole volume unless read with ``z_score=False``.
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
        """Where the ground truth is of a class.

        Raises:
            ValueError: the volume has no ground truth.
        """
        if self.label is None:
            raise ValueError(f"case {self.case_id} has no label to take class {class_id} from")
        found: Bool[np.ndarray, "z y x"] = self.label == class_id
        return found


def spacing_of(affine: Float[np.ndarray, "4 4"]) -> tuple[float, float, float]:
    """Voxel size (z, y, x) in millimetres of a nibabel affine."""
    x, y, z = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return z, y, x


def load_volume(
    case: Case,
    *,
    label_values: Mapping[int, int] | None = None,
    check_geometry: bool = True,
    with_pseudo_label: bool = False,
    z_score: bool = True,
) -> Volume:
    """Read a case from disk.

    Volumes of 257×257 slices lose the last row and column, as the field's networks take 256.

    Args:
        case: Its files.
        label_values: Class id of each value in the label file, where the two differ.
        check_geometry: Refuse a label that lies elsewhere in the world than its image.
        with_pseudo_label: Read the supervoxels too.
        z_score: Give the image zero mean and unit deviation over the whole volume.

    Raises:
        InputError: If a file cannot be read, holds NaN or fractional labels, or disagrees with
            its image in shape or place.
    """
    image, affine = read_image(case.image)
    label = None
    if case.label is not None:
        raw, label_affine = read_image(case.label)
        refuse_other_shape(case.label, raw, image)
        if check_geometry:
            refuse_other_place(case.label, label_affine, affine, image.shape)
        label = as_label(case.label, raw, label_values or {})
    pseudo_label = None
    if with_pseudo_label:
        # Supervoxel files of other groups carry no geometry, so only the shape can be checked.
        raw, _ = read_image(case.pseudo_label)
        refuse_other_shape(case.pseudo_label, raw, image)
        pseudo_label = trim(as_integers(case.pseudo_label, raw).astype(np.int32))
    image = trim(image).astype(np.float32)
    return Volume(
        case_id=case.case_id,
        image=standardise(image) if z_score else image,
        affine=affine,
        label=None if label is None else trim(label),
        pseudo_label=pseudo_label,
    )


def read_image(path: Path) -> tuple[Float[np.ndarray, "z y x"], Float[np.ndarray, "4 4"]]:
    """Read a NIfTI image as float64 (z, y, x) with its affine.

    Raises:
        InputError: If it is missing, unreadable, not three-dimensional or not finite.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    try:
        reader = NibabelReader()
        array, meta = reader.get_data(reader.read(path))
    except Exception as error:  # the readers raise whatever their format library raises
        raise InputError(
            f"{path} cannot be read as an image: {error}. Download or copy it again"
        ) from error
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        raise InputError(f"{path} has shape {array.shape}: expected three dimensions (x, y, z)")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise InputError(f"{path} holds {count} voxels that are NaN or infinite: repair the file")
    affine = np.asarray(meta["affine"], dtype=np.float64)
    return np.asarray(array, dtype=np.float64).transpose(2, 1, 0), affine


def as_integers(path: Path, array: Num[np.ndarray, "z y x"]) -> Num[np.ndarray, "z y x"]:
    """Labels of an image file as int64; refuses fractions and negative values."""
    rounded = np.rint(array)
    if np.abs(array - rounded).max(initial=0) > 1e-3 or rounded.min(initial=0) < 0:
        odd = array[(np.abs(array - rounded) > 1e-3) | (rounded < 0)][0]
        raise InputError(
            f"{path} holds the value {odd:g}, but labels are whole numbers from 0: resample "
            "labels to the nearest voxel, not by interpolation"
        )
    return np.asarray(rounded, dtype=np.int64)


def as_label(
    path: Path, array: Num[np.ndarray, "z y x"], values: Mapping[int, int]
) -> UInt8[np.ndarray, "z y x"]:
    """Class ids of a label file, its values translated by ``values`` (others stay)."""
    label = as_integers(path, array)
    present = np.unique(label)
    translated = np.array([values.get(int(v), int(v)) for v in present])
    if translated.max(initial=0) > 255:
        raise InputError(
            f"{path} holds the label {int(present[translated > 255][0])}, but class ids end at "
            "255: translate it with data.label_values, such as {200: 1}"
        )
    out: UInt8[np.ndarray, "z y x"] = translated.astype(np.uint8)[np.searchsorted(present, label)]
    return out


def refuse_other_shape(
    path: Path, array: Num[np.ndarray, "..."], image: Num[np.ndarray, "..."]
) -> None:
    """Raise unless the file has the shape of its image."""
    if array.shape != image.shape:
        raise InputError(
            f"{path} has shape {array.shape[::-1]} (x, y, z) but its image has "
            f"{image.shape[::-1]}: they do not belong together, or one was resampled alone"
        )


def refuse_other_place(
    path: Path,
    affine: Float[np.ndarray, "4 4"],
    image_affine: Float[np.ndarray, "4 4"],
    shape: tuple[int, ...],
) -> None:
    """Raise if a file's voxels lie more than half a voxel off its image's.

    A file whose affine is the identity up to sign says nothing about its place and is accepted.
    """
    if np.array_equal(np.abs(affine), np.eye(4)):
        return
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape[::-1]])).reshape(3, -1)
    homogeneous = np.vstack([corners, np.ones(corners.shape[1])])
    offset = np.linalg.norm(((affine - image_affine) @ homogeneous)[:3], axis=0).max()
    if offset > 0.5 * min(spacing_of(image_affine)):
        codes = ["".join(nib.aff2axcodes(a)) for a in (affine, image_affine)]
        raise InputError(
            f"{path} lies up to {offset:.1f} mm away from its image (orientations {codes[0]} and "
            f"{codes[1]}): the label may be mirrored or shifted. Look at both with gmrd-inspect, "
            "resample one onto the other, or set data.check_geometry=false if the header is wrong"
        )


def trim(array: Num[np.ndarray, "z y x"]) -> Num[np.ndarray, "z rows columns"]:
    """Drop the last row and column of 257×257 slices."""
    return array[:, :-1, :-1] if array.shape[1:] == (ODD_SIZE, ODD_SIZE) else array


def standardise(image: Float32[np.ndarray, "z y x"]) -> Float32[np.ndarray, "z y x"]:
    """Zero mean and unit standard deviation over the whole volume; a constant volume is all 0."""
    mean, deviation = image.mean(dtype=np.float64), image.std(dtype=np.float64)
    scaled = (image - mean) / (deviation if deviation > 0 else 1.0)
    return np.asarray(scaled, dtype=np.float32)


def save_like(
    path: Path,
    array: Shaped[np.ndarray, "z y x"],
    affine: Float[np.ndarray, "4 4"],
    *,
    description: str = "",
) -> None:
    """Write a (z, y, x) array as NIfTI with its affine; readers never see half a file.

    Both the qform and the sform are set, so that every viewer places the volume alike.
    ``description`` goes into the header, which has room for 79 characters.
    """
    stored = array.astype(np.uint8) if array.dtype == bool else array
    if stored.dtype == np.int64:
        stored = stored.astype(np.int32)
    image = nib.Nifti1Image(np.asarray(stored).transpose(2, 1, 0), affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header["descrip"] = description
    with replacing(path) as temporary:
        nib.save(image, temporary)


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
