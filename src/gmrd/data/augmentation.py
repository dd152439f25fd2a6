"""How an episode's two sides are made to differ: intensity and geometry, each on one side.

Gamma is MONAI's; the elastic deformation is a dense field, which MONAI lacks, so affine and
elastic map are composed here and applied in one resampling of image and mask together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from monai.transforms import AdjustContrast
from torch import Tensor

REFERENCE_SIZE = 256
"""Slice side that the lengths in pixels refer to; they scale with the actual side."""


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
    """

    gamma: Sequence[float | int] = (0.5, 1.5)
    rotation: float | int = 5.0
    shift: float | int = 5.0
    shear: float | int = 5.0
    scale: Sequence[float | int] = (0.9, 1.2)
    elastic_alpha: float | int = 10.0
    elastic_sigma: float | int = 5.0

    def change_intensity(
        self, images: Float[Tensor, "slices h w"], rng: np.random.Generator
    ) -> Float[Tensor, "slices h w"]:
        """Images with a random gamma."""
        changed = AdjustContrast(gamma=_within(self.gamma, rng))(images)
        return torch.as_tensor(changed)

    def change_geometry(
        self,
        images: Float[Tensor, "slices h w"],
        masks: Float[Tensor, "slices h w"],
        rng: np.random.Generator,
    ) -> tuple[Float[Tensor, "slices h w"], Float[Tensor, "slices h w"]]:
        """Images and binary masks under one random affine and elastic map.

        What enters from outside the slice has the images' lowest value and mask 0.
        """
        lowest = images.amin()
        stacked = torch.cat([images - lowest, masks])[None]
        grid = self._sampling_grid(images.shape[-2], images.shape[-1], rng)
        moved = torch.nn.functional.grid_sample(stacked, grid[None], align_corners=True)[0]
        n = len(images)
        return moved[:n] + lowest, (moved[n:] >= 0.5).to(masks.dtype)

    def _sampling_grid(self, h: int, w: int, rng: np.random.Generator) -> Float[Tensor, "h w 2"]:
        """Where each output pixel looks, in coordinates from −1 to 1 as (x, y)."""
        pixels = max(h, w) / REFERENCE_SIZE
        half = np.array([(w - 1) / 2, (h - 1) / 2])
        shift = rng.uniform(-self.shift, self.shift, 2) * pixels
        matrix = torch.from_numpy(self._inverse_matrix(rng)).float()
        field = _smooth_noise(h, w, self.elastic_sigma * pixels, rng)
        source = _centred_pixels(h, w) + self.elastic_alpha * pixels * field
        moved = source @ matrix.T - torch.from_numpy(shift).float()
        return moved / torch.from_numpy(half).float()

    def _inverse_matrix(self, rng: np.random.Generator) -> Float[np.ndarray, "2 2"]:
        angle = np.deg2rad(rng.uniform(-self.rotation, self.rotation))
        shear = np.tan(np.deg2rad(rng.uniform(-self.shear, self.shear)))
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        forward = _within(self.scale, rng) * rotation @ np.array([[1.0, shear], [0.0, 1.0]])
        return np.linalg.inv(forward)


def _within(limits: Sequence[float | int], rng: np.random.Generator) -> float:
    low, high = limits
    return float(rng.uniform(low, high))


@lru_cache(maxsize=8)
def _centred_pixels(h: int, w: int) -> Float[Tensor, "h w 2"]:
    y, x = torch.meshgrid(torch.arange(float(h)), torch.arange(float(w)), indexing="ij")
    return torch.stack([x - (w - 1) / 2, y - (h - 1) / 2], dim=-1)


def _smooth_noise(h: int, w: int, sigma: float, rng: np.random.Generator) -> Float[Tensor, "h w 2"]:
    """Uniform noise in [−1, 1] under a Gaussian filter: two products with a banded matrix."""
    noise = torch.from_numpy(rng.random((2, h, w), dtype=np.float32)) * 2 - 1
    smooth = _gaussian_matrix(h, sigma) @ noise @ _gaussian_matrix(w, sigma).T
    return smooth.permute(1, 2, 0)


@lru_cache(maxsize=8)
def _gaussian_matrix(n: int, sigma: float) -> Float[Tensor, "n n"]:
    """Gaussian filter along one axis as a matrix; beyond the border the noise is 0."""
    offset = np.arange(n)[:, None] - np.arange(n)[None]
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights = np.exp(-0.5 * (offset / sigma) ** 2) / kernel.sum()
    return torch.from_numpy(np.where(np.abs(offset) <= radius, weights, 0.0)).float()
