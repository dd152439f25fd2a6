"""Augmentation of episodes: random intensity on one side and random geometry on one side.

Gamma is MONAI's. MONAI lacks dense elastic fields, so affine and elastic map are composed here and
applied in a single resampling of image and mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from monai.data import MetaTensor
from monai.transforms import AdjustContrast
from torch import Tensor

from gmrd.values.kinds import NonNegative, Positive, Range

REFERENCE_SIZE = 256
"""Slice size to which lengths in pixels refer; they scale with the actual size."""


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random transforms (paper section IV-B; lengths in pixels of 256).

    Attributes:
        gamma: Range of the exponent; the slice's intensity range is kept.
        rotation: Largest angle in degrees.
        shift: Largest shift in pixels along either axis.
        shear: Largest shear angle in degrees.
        scale: Range of the isotropic magnification.
        elastic_alpha: Factor on the smoothed noise, in pixels.
        elastic_sigma: Standard deviation of the smoothing, in pixels.
        shear_about: ``centre`` | ``corner``: the point that the shear leaves in place. About the
            first pixel's corner, as in the public code, the shear also moves the slice's centre
            sideways, by up to 11 pixels.
        border: Padding outside the slice: its ``lowest`` value, or the ``mean`` of the z-scored
            volume, which is 0, as in the public code.
        keep_emptied: Keep a transform that empties a mask, as the public code does.
    """

    gamma: Range = (0.5, 1.5)
    rotation: NonNegative = 5.0
    shift: NonNegative = 5.0
    shear: NonNegative = 5.0
    scale: Range = (0.9, 1.2)
    elastic_alpha: NonNegative = 10.0
    elastic_sigma: Positive = 5.0
    shear_about: Literal["centre", "corner"] = "centre"
    border: Literal["lowest", "mean"] = "lowest"
    keep_emptied: bool = False

    def change_intensity(
        self, images: Float[Tensor, "slices h w"], rng: np.random.Generator
    ) -> Float[Tensor, "slices h w"]:
        """Images with a random gamma."""
        changed = AdjustContrast(gamma=_within(self.gamma, rng))(images)
        # A MetaTensor would slow down every later operation, the network's included.
        plain: Tensor = changed.as_tensor() if isinstance(changed, MetaTensor) else changed
        return plain

    def change_geometry(
        self,
        images: Float[Tensor, "slices h w"],
        masks: Float[Tensor, "slices h w"],
        rng: np.random.Generator,
    ) -> tuple[Float[Tensor, "slices h w"], Float[Tensor, "slices h w"]]:
        """Images and binary masks under one random affine and elastic map.

        The mask is padded with 0.
        """
        outside = images.amin() if self.border == "lowest" else images.new_zeros(())
        stacked = torch.cat([images - outside, masks])[None]
        grid = self._sampling_grid(images.shape[-2], images.shape[-1], rng)
        moved = torch.nn.functional.grid_sample(stacked, grid[None], align_corners=True)[0]
        n = len(images)
        return moved[:n] + outside, (moved[n:] >= 0.5).to(masks.dtype)

    def _sampling_grid(self, h: int, w: int, rng: np.random.Generator) -> Float[Tensor, "h w 2"]:
        """Sampling positions of the output pixels, (x, y) from −1 to 1."""
        pixels = max(h, w) / REFERENCE_SIZE
        shift_x, shift_y = (float(d) for d in rng.uniform(-self.shift, self.shift, 2) * pixels)
        matrix, shear = self._inverse_matrix(rng)
        (xx, xy), (yx, yy) = matrix.tolist()
        if self.shear_about == "corner":
            shift_x += shear * (h - 1) / 2
        field = self.elastic_alpha * pixels * _smooth_noise(h, w, self.elastic_sigma * pixels, rng)
        x = field[0] + (torch.arange(float(w)) - (w - 1) / 2)
        y = field[1] + (torch.arange(float(h)) - (h - 1) / 2)[:, None]
        source_x = (xx * x + xy * y - shift_x) / ((w - 1) / 2)
        source_y = (yx * x + yy * y - shift_y) / ((h - 1) / 2)
        return torch.stack([source_x, source_y], dim=-1)

    def _inverse_matrix(self, rng: np.random.Generator) -> tuple[Float[np.ndarray, "2 2"], float]:
        """The inverse affine map about the centre, and the shear: pixels of x a pixel of y."""
        angle = np.deg2rad(rng.uniform(-self.rotation, self.rotation))
        shear = float(np.tan(np.deg2rad(rng.uniform(-self.shear, self.shear))))
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        forward = _within(self.scale, rng) * rotation @ np.array([[1.0, shear], [0.0, 1.0]])
        return np.linalg.inv(forward), shear


def _within(limits: Sequence[float | int], rng: np.random.Generator) -> float:
    low, high = limits
    return float(rng.uniform(low, high))


def _smooth_noise(h: int, w: int, sigma: float, rng: np.random.Generator) -> Float[Tensor, "2 h w"]:
    """Uniform noise in [−1, 1] under a Gaussian filter; beyond the border the noise is 0.

    The filter along an axis only passes coarse structure, so its matrix has low rank and is applied
    as two thin factors: U (Vᵀ noise V) Uᵀ.
    """
    noise = torch.from_numpy(rng.random((2, h, w), dtype=np.float32)) * 2 - 1
    (left_h, right_h), (left_w, right_w) = _gaussian_factors(h, sigma), _gaussian_factors(w, sigma)
    return left_h @ (right_h @ noise @ right_w.T) @ left_w.T


@lru_cache(maxsize=8)
def _gaussian_factors(
    n: int, sigma: float
) -> tuple[Float[Tensor, "n rank"], Float[Tensor, "rank n"]]:
    """Factors U, Vᵀ of the Gaussian filter along an axis of length n, exact to 1e-6."""
    offset = np.arange(n)[:, None] - np.arange(n)[None]
    weights = np.exp(-0.5 * (offset / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    left, values, right = np.linalg.svd(weights)
    rank = int((values > 1e-6).sum())
    scaled = left[:, :rank] * values[:rank]
    return torch.from_numpy(scaled).float(), torch.from_numpy(right[:rank]).float()
