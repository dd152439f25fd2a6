"""The field's public preprocessing, written anew with SimpleITK from what it does, to compare with.

Its facts: intensities first (CT: clipped to −125…275 and spread over 0…255; MRI: the top 0.5 %
clipped); linear resampling from the first voxel on to int(size·old/new + 1) voxels, each class of a
label by itself and rounded; MRI then cropped or padded to 256×256 about pixel n // 2; of a CT slice
32 pixels are cut off each side before, and 257×257 come out. What lies beyond the raw volume is 0,
which gives a CT a last slice of nothing; it is left out here and in gmrd.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import SimpleITK

Spacing = tuple[float, float, float]
"""Millimetres (z, y, x)."""


TIE = 1e-3
"""Shares of a class this near a half are rounded up or down by the last digits."""


class Published(NamedTuple):
    """What comes out, all (z, y, x).

    Attributes:
        image: Intensities.
        label: Class ids.
        inside: Samples that lie in the raw volume.
        tied: Voxels of which some class has nearly a half.
    """

    image: np.ndarray
    label: np.ndarray
    inside: np.ndarray
    tied: np.ndarray


def published_mri(
    image: np.ndarray, label: np.ndarray, spacing: Spacing, target: Spacing
) -> Published:
    """MRI resampled to the target spacing."""
    resampled = _resample(np.minimum(image, np.percentile(image, 99.5)), spacing, target)
    classes, tied = _resample_label(label, spacing, target)
    inside = _resample(np.ones(image.shape), spacing, target)
    return Published(
        _fit(resampled, float(resampled.min())),
        _fit(classes, 0),
        _fit(inside, 0) == 1,
        _fit(tied, 0) == 1,
    )


def published_ct(image: np.ndarray, label: np.ndarray, spacing: Spacing) -> Published:
    """CT of 512×512 slices brought to 257×257, of which the last row and column are left out."""
    clipped = np.clip(image, -125.0, 275.0)
    scaled = (clipped - clipped.min()) / (clipped.max() - clipped.min()) * 255.0
    inner = (slice(None), slice(32, -32), slice(32, -32))
    target = (spacing[0], spacing[1] * 1.75, spacing[2] * 1.75)
    arrays = (
        _resample(scaled[inner], spacing, target),
        *_resample_label(label[inner], spacing, target),
        _resample(np.ones(image.shape)[inner], spacing, target) == 1,
    )
    assert {array.shape[1:] for array in arrays} == {(257, 257)}
    scaled, classes, tied, inside = (array[: len(image), :-1, :-1] for array in arrays)
    return Published(scaled, classes, inside, tied)


def _resample(image: np.ndarray, spacing: Spacing, target: Spacing) -> np.ndarray:
    itk = SimpleITK.GetImageFromArray(np.asarray(image, dtype=np.float64))
    itk.SetSpacing(spacing[::-1])
    resampler = SimpleITK.ResampleImageFilter()
    resampler.SetInterpolator(SimpleITK.sitkLinear)
    resampler.SetOutputSpacing(target[::-1])
    resampler.SetSize(resampled_size(itk.GetSize(), spacing[::-1], target[::-1]))
    return SimpleITK.GetArrayFromImage(resampler.Execute(itk))


def resampled_size(
    size: tuple[int, ...], old: tuple[float, ...], new: tuple[float, ...]
) -> list[int]:
    """Voxels along every axis after resampling."""
    return [int(n * a / b + 1) for n, a, b in zip(size, old, new, strict=True)]


def _resample_label(
    label: np.ndarray, spacing: Spacing, target: Spacing
) -> tuple[np.ndarray, np.ndarray]:
    classes = np.zeros(_resample(label, spacing, target).shape)
    tied = np.zeros(classes.shape, dtype=bool)
    for class_id in np.unique(label)[1:]:
        share = _resample(label == class_id, spacing, target)
        classes[np.rint(share) == 1] = class_id
        tied |= np.abs(share - 0.5) < TIE
    return classes, tied


def _fit(image: np.ndarray, fill: float, size: int = 256) -> np.ndarray:
    half = size // 2
    out = np.full((len(image), size, size), fill)
    y, x = image.shape[1] // 2, image.shape[2] // 2
    part = image[:, max(0, y - half) : y + half, max(0, x - half) : x + half]
    top, left = max(0, half - y), max(0, half - x)
    out[:, top : top + part.shape[1], left : left + part.shape[2]] = part
    return out
