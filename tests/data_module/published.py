"""The published CHAOST2 preprocessing, written anew with SimpleITK, to compare with."""

from __future__ import annotations

import numpy as np
import SimpleITK

SPACING = (1.25, 1.25, 7.7)


def published_mri(
    image: np.ndarray, label: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Clip the top 0.5 %, resample image and each class linearly, crop or pad to 256."""
    image = np.minimum(image.astype(np.float64), np.percentile(image, 99.5))
    volume = _fit(_resample(image, spacing), float(image.min()))
    out = np.zeros(volume.shape, dtype=np.uint8)
    for class_id in np.unique(label)[1:]:
        share = _fit(_resample((label == class_id).astype(np.float64), spacing), 0.0)
        out[np.rint(share) > 0] = class_id
    return volume, out


def _resample(image: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    itk = SimpleITK.GetImageFromArray(image)
    itk.SetSpacing(spacing[::-1])
    old = zip(itk.GetSize(), itk.GetSpacing(), SPACING, strict=True)
    size = [int(n * a / b + 1) for n, a, b in old]
    resampler = SimpleITK.ResampleImageFilter()
    resampler.SetInterpolator(SimpleITK.sitkLinear)
    resampler.SetOutputSpacing(SPACING)
    resampler.SetSize(size)
    return SimpleITK.GetArrayFromImage(resampler.Execute(itk))


def _fit(image: np.ndarray, fill: float, size: int = 256) -> np.ndarray:
    for axis in (1, 2):
        surplus = image.shape[axis] - size
        if surplus > 0:
            image = np.take(image, range(surplus // 2, surplus // 2 + size), axis=axis)
        elif surplus < 0:
            before = -surplus // 2
            widths = [(0, 0)] * 3
            widths[axis] = (before, -surplus - before)
            image = np.pad(image, widths, constant_values=fill)
    return image
