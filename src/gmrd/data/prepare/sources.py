"""Reading a case of a download with its label: NIfTI, or a DICOM series with PNG masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Integer, Num, UInt8
from matplotlib.image import imread

from gmrd.data.prepare.dicom import read_series
from gmrd.data.prepare.settings import MaskOrder, Preparation
from gmrd.data.protocol import numeric_key
from gmrd.errors import InputError
from gmrd.io.agreement import WRONG_HEADER, refuse_other_place, refuse_other_shape
from gmrd.io.formats import refuse_no_file
from gmrd.io.readers import read_scan
from gmrd.io.scan import Scan

SUSPICIOUS_ORDER = 0.7
"""Masks count as reversed if reversing lowers the deviation of intensities below this share."""


@dataclass(frozen=True)
class RawCase:
    """A downloaded case: the scan, and the class id of every voxel if it has a label."""

    scan: Scan
    label: UInt8[np.ndarray, "z y x"] | None


def read_case(image_path: Path, label_path: Path | None, settings: Preparation) -> RawCase:
    """Read a case of the download.

    Raises:
        InputError: If a file cannot be read, the label does not fit the image, holds an
            unexpected value, or seems to be in reversed slice order.
    """
    if image_path.is_dir():
        scan = read_series(image_path, settings.series)
        values = None if label_path is None else _read_masks(label_path, scan, settings.mask_order)
    else:
        scan = read_scan(image_path)
        values = None if label_path is None else _read_label(label_path, scan, settings)
    if label_path is None or values is None:
        return RawCase(scan, None)
    label = class_ids(label_path, values, settings.label_ranges)
    if image_path.is_dir():
        refuse_reversed(label_path, scan.image, label)
    return RawCase(scan, label)


def _read_label(path: Path, scan: Scan, settings: Preparation) -> Int32[np.ndarray, "z y x"]:
    label = read_scan(path, dtype=np.int32)
    refuse_other_shape(path, label.image, scan.image)
    if settings.check_geometry:
        refuse_other_place(path, label.affine, scan.affine, scan.image.shape, remedy=WRONG_HEADER)
    return label.image


def _read_masks(folder: Path, scan: Scan, order: MaskOrder) -> Integer[np.ndarray, "z y x"]:
    files = [Path(header.filename) for header in scan.slices or ()]
    masks = [load_mask(path) for path in masks_in_order(folder, files, order)]
    for mask in masks:
        if mask.shape != scan.image.shape[1:]:
            raise InputError(
                f"{folder} holds masks of {mask.shape}, but slices are {scan.image.shape[1:]}"
            )
    return np.stack(masks)


def load_mask(path: Path) -> Integer[np.ndarray, "y x"]:
    """A PNG mask as whole numbers 0 to 255 (or 65535), white of a 1-bit image being 255.

    Raises:
        InputError: the file cannot be read as PNG.
    """
    refuse_no_file(path)
    try:
        pixels = imread(path)
    except Exception as error:  # PIL raises many types on damaged files
        raise InputError(f"{path} cannot be read as PNG: {error}. Copy it again") from error
    if pixels.ndim == 3:
        pixels = pixels[..., 0]
    return np.asarray(np.rint(pixels * 255), dtype=np.int64)


def masks_in_order(folder: Path, slices: Sequence[Path], order: MaskOrder) -> list[Path]:
    """The mask file of every slice of a series, whose files are in z order.

    Challenges number masks like the DICOM files, whose order need not be that of the slices: the
    CHAOS CT series and their masks run from head to feet, whereas readers sort slices from feet to
    head.
    """
    masks = sorted(folder.glob("*.png"), key=lambda p: numeric_key(p.name))
    if len(masks) != len(slices):
        raise InputError(f"{folder} holds {len(masks)} PNG masks for {len(slices)} slices")
    by_stem = {path.stem: path for path in masks}
    stems = [path.stem for path in slices]
    if order == "names" or (order == "auto" and set(stems) == set(by_stem)):
        missing = [stem for stem in stems if stem not in by_stem]
        if missing:
            raise InputError(f"{folder} has no mask named {missing[0]}.png, as its slice is")
        return [by_stem[stem] for stem in stems]
    if order == "position":
        return masks
    in_file_order = sorted(slices, key=lambda p: numeric_key(p.name))
    place = {path: index for index, path in enumerate(in_file_order)}
    return [masks[place[path]] for path in slices]


def class_ids(
    path: Path, values: Integer[np.ndarray, "z y x"], ranges: Mapping[int, Sequence[float | int]]
) -> UInt8[np.ndarray, "z y x"]:
    """Class ids of label values; a value outside every range is refused."""
    label = np.zeros(values.shape, dtype=np.int64) if ranges else values
    for class_id, (low, high) in ranges.items():
        label[(values >= low) & (values <= high)] = class_id
    unknown = np.unique(values[(values > 0) & (label == 0)])
    if len(unknown) or label.max(initial=0) > 255:
        value = int(unknown[0]) if len(unknown) else int(label.max())
        raise InputError(
            f"{path} holds the value {value}, which belongs to no class: add it to "
            f"data.preparation.label_ranges (now {dict(ranges)})"
        )
    return label.astype(np.uint8)


def refuse_reversed(
    path: Path, image: Num[np.ndarray, "z y x"], label: Integer[np.ndarray, "z y x"]
) -> None:
    """Raise if the masks would fit the image far better in reverse order.

    An organ is fairly homogeneous, so intensities of a class vary least in the correct order.
    """
    chosen, reverse = _spread(image, label), _spread(image, label[::-1])
    if reverse < SUSPICIOUS_ORDER * chosen:
        raise InputError(
            f"{path}: the masks seem to be in reverse slice order; the intensities of a class "
            f"deviate by {chosen:.0f} in this order and by {reverse:.0f} in reverse. Set "
            "data.preparation.mask_order=files or position, whichever is not in use"
        )


def _spread(image: Num[np.ndarray, "z y x"], label: Integer[np.ndarray, "z y x"]) -> float:
    classes = np.unique(label)[1:]
    return float(np.mean([image[label == c].std() for c in classes])) if len(classes) else 0.0
