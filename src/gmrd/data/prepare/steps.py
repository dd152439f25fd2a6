"""The steps of preparation, as MONAI transforms that update the affine."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32, Shaped
from monai.data import MetaTensor
from monai.transforms import (
    BorderPad,
    CenterSpatialCrop,
    ClipIntensityPercentiles,
    Orientation,
    ScaleIntensityRange,
    SpatialCrop,
    SpatialResample,
)

from gmrd.data.prepare.settings import Preparation
from gmrd.data.prepare.sources import RawCase
from gmrd.data.volume import Volume
from gmrd.errors import InputError


def prepare_volume(case_id: str, raw: RawCase, settings: Preparation) -> Volume:
    """A case after all steps; z-scoring is done when it is read."""
    image = _steps(_as_meta(raw.scan.image, raw.scan.affine), settings, is_label=False)
    label = None
    if raw.label is not None:
        label = np.zeros(image.shape[:0:-1], dtype=np.uint8)
        for class_id in np.unique(raw.label)[1:]:
            # Each class is interpolated by itself: between classes 1 and 3 there is no 2.
            mask = _as_meta(raw.label == class_id, raw.scan.affine)
            share = _steps(mask, settings, is_label=True)
            label[_as_array(share) > 0.5] = class_id
    return Volume(
        case_id=case_id,
        image=_as_array(image),
        affine=np.asarray(image.affine, dtype=np.float64),
        label=label,
    )


def _as_meta(array: Shaped[np.ndarray, "z y x"], affine: np.ndarray) -> MetaTensor:
    values = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 1, 0), dtype=np.float32))
    return MetaTensor(values[None], affine=torch.from_numpy(affine))


def _as_array(image: MetaTensor) -> Float32[np.ndarray, "z y x"]:
    return np.asarray(image[0].numpy().transpose(2, 1, 0), dtype=np.float32)


def _steps(image: MetaTensor, settings: Preparation, *, is_label: bool) -> MetaTensor:
    if settings.orientation:
        image = Orientation(axcodes=settings.orientation, labels=None)(image)
    if not is_label:
        image = _intensity(image, settings)
    if settings.border:
        cut = settings.border
        if 2 * cut >= min(image.shape[1:3]):
            raise InputError(
                f"data.preparation.border={cut} leaves nothing of slices of "
                f"{tuple(image.shape[1:3])}: lower it"
            )
        inner = [slice(cut, n - cut) for n in image.shape[1:3]]
        image = SpatialCrop(roi_slices=[*inner, slice(None)])(image)
    if settings.spacing or settings.spacing_factor:
        image = _resample(image, settings)
    if settings.size:
        image = _crop_or_pad(image, settings.size, fill=0.0 if is_label else float(image.min()))
    return image


def _intensity(image: MetaTensor, settings: Preparation) -> MetaTensor:
    if settings.window:
        low, high = settings.window
        image = ScaleIntensityRange(low, high, b_min=0.0, b_max=255.0, clip=True)(image)
    if settings.clip_percentile:
        image = ClipIntensityPercentiles(lower=None, upper=settings.clip_percentile)(image)
    return image


def _crop_or_pad(image: MetaTensor, size: int, *, fill: float) -> MetaTensor:
    """Square slices about pixel n // 2 of each axis, as in the published preprocessing.

    Padding all sides first gives this centre for both cropping and padding, unlike MONAI's
    ResizeWithPadOrCrop if an odd number of pixels is missing.
    """
    padded = BorderPad(spatial_border=(size // 2, size // 2, 0), value=fill)(image)
    return CenterSpatialCrop(roi_size=(size, size, -1))(padded)


def _resample(image: MetaTensor, settings: Preparation) -> MetaTensor:
    """Trilinear resampling that keeps the first voxel in place.

    The new size is int(size·old/new + 1), as in the published preprocessing.
    """
    old = np.linalg.norm(np.asarray(image.affine)[:3, :3], axis=0)
    factor = np.asarray(settings.spacing_factor or np.asarray(settings.spacing) / old, dtype=float)
    size = [int(n / f + 1) for n, f in zip(image.shape[1:], factor, strict=True)]
    size = [n if f == 1 else m for n, m, f in zip(image.shape[1:], size, factor, strict=True)]
    affine = np.asarray(image.affine, dtype=np.float64) @ np.diag([*factor, 1.0])
    resampler = SpatialResample(mode="bilinear", padding_mode="border", align_corners=True)
    return resampler(image, dst_affine=torch.from_numpy(affine), spatial_size=size)
