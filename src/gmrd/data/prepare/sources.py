"""A case of a download, read with its label: NIfTI files, or a DICOM series with PNG masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer, Num, UInt8
from matplotlib.image import imread

from gmrd.data.prepare.dicom import Series, read_series
from gmrd.data.prepare.settings import MaskOrder, Preparation
from gmrd.data.protocol import numeric_key
from gmrd.data.volume import as_integers, read_image, refuse_other_place, refuse_other_shape
from gmrd.errors import InputError

SUSPICIOUS_ORDER = 0.7
"""The masks are taken for reversed if that lowers the intensities' deviation below this share."""


@dataclass(frozen=True)
class RawCase:
    """A case as downloaded; arrays are (z, y, x), the affine is nibabel's."""

    image: Float[np.ndarray, "z y x"]
    affine: Float[np.ndarray, "4 4"]
    label: UInt8[np.ndarray, "z y x"] | None


def read_case(image_path: Path, label_path: Path | None, settings: Preparation) -> RawCase:
    """Read a case of the download.

    Raises:
        InputError: If a file cannot be read, the label does not fit the image, holds an
            unexpected value, or seems to be in reversed slice order.
    """
    if not image_path.is_dir():
        image, affine = read_image(image_path)
        label = None
        if label_path is not None:
            label, label_affine = read_image(label_path)
            refuse_other_shape(label_path, label, image)
            if settings.check_geometry:
                refuse_other_place(label_path, label_affine, affine, image.shape)
            label = class_ids(label_path, as_integers(label_path, label), settings.label_ranges)
        return RawCase(image, affine, label)
    series = read_series(image_path, settings.series)
    image = series.pixels()
    if label_path is None:
        return RawCase(image, series.affine, None)
    masks = [load_mask(path) for path in masks_in_order(label_path, series, settings.mask_order)]
    for mask in masks:
        if mask.shape != image.shape[1:]:
            raise InputError(
                f"{label_path} holds masks of {mask.shape}, but slices are {image.shape[1:]}"
            )
    label = class_ids(label_path, np.stack(masks), settings.label_ranges)
    refuse_reversed(label_path, image, label)
    return RawCase(image, series.affine, label)


def load_mask(path: Path) -> Integer[np.ndarray, "y x"]:
    """A PNG mask as whole numbers 0 to 255 (or 65535), white of a 1-bit image being 255."""
    pixels = imread(path)
    if pixels.ndim == 3:
        pixels = pixels[..., 0]
    return np.asarray(np.rint(pixels * 255), dtype=np.int64)


def masks_in_order(folder: Path, series: Series, order: MaskOrder) -> list[Path]:
    """The mask file of every slice of a series.

    Challenges number masks like the DICOM files, whose order need not be that of the slices in
    the patient: the CHAOS CT series run from head to feet, so their masks do too, while readers
    sort slices from feet to head.
    """
    masks = sorted(folder.glob("*.png"), key=lambda p: numeric_key(p.name))
    if len(masks) != len(series.files):
        raise InputError(f"{folder} holds {len(masks)} PNG masks for {len(series.files)} slices")
    by_stem = {path.stem: path for path in masks}
    stems = [path.stem for path in series.files]
    if order == "names" or (order == "auto" and set(stems) == set(by_stem)):
        missing = [stem for stem in stems if stem not in by_stem]
        if missing:
            raise InputError(f"{folder} has no mask named {missing[0]}.png, as its slice is")
        return [by_stem[stem] for stem in stems]
    if order == "position":
        return masks
    in_file_order = sorted(series.files, key=lambda p: numeric_key(p.name))
    place = {path: index for index, path in enumerate(in_file_order)}
    return [masks[place[path]] for path in series.files]


def class_ids(
    path: Path, values: Integer[np.ndarray, "z y x"], ranges: Mapping[int, Sequence[int]]
) -> UInt8[np.ndarray, "z y x"]:
    """Class ids of label values; a value outside every range is refused."""
    label = np.zeros(values.shape, dtype=np.int64) if ranges else values
    for class_id, (low, high) in ranges.items():
        label[(values >= low) & (values <= high)] = class_id
    unknown = np.unique(values[(values > 0) & (label == 0)])
    if len(unknown) or label.max(initial=0) > 255:
        value = int(unknown[0]) if len(unknown) else int(label.max())
        raise InputError(
            f"{path} holds the value {value}, which stands for no class: add it to "
            f"data.preparation.label_ranges (now {dict(ranges)})"
        )
    return label.astype(np.uint8)


def refuse_reversed(
    path: Path, image: Num[np.ndarray, "z y x"], label: Integer[np.ndarray, "z y x"]
) -> None:
    """Raise if masks taken in the reverse order of slices would fit the image far better.

    An organ is alike throughout, so in the right order the intensities of a class vary least.
    """
    chosen, reverse = _spread(image, label), _spread(image, label[::-1])
    if reverse < SUSPICIOUS_ORDER * chosen:
        raise InputError(
            f"{path}: the masks seem to run against the slices; the intensities of a class deviate "
            f"by {chosen:.0f} in this order and by {reverse:.0f} in reverse. Set "
            "++data.preparation.mask_order=files or position, whichever is not in use"
        )


def _spread(image: Num[np.ndarray, "z y x"], label: Integer[np.ndarray, "z y x"]) -> float:
    classes = np.unique(label)[1:]
    return float(np.mean([image[label == c].std() for c in classes])) if len(classes) else 0.0
