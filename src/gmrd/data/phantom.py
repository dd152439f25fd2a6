"""A phantom data set: abdomen-like volumes with organs, made from a seed.

It is for trying the commands and for tests, without a download. The volumes resemble fat-suppressed
T2 MRI where it matters for few-shot segmentation: organs vary in position, size, shape and
brightness between cases, other structures have the same brightness, and there is a bias field and
noise. The organs have CHAOST2's label values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy import ndimage

from gmrd.io.nifti_writer import write_nifti

Array = NDArray[np.float64]

FOLDER = "phantom_normalized"
SLICE_THICKNESS = 7.7
FIELD_OF_VIEW = 320.0
"""Extent of a slice along z, and of the volume along y and x, in mm."""


@dataclass(frozen=True)
class Structure:
    """An ellipsoid in body coordinates: each axis runs from -1 to 1 across the body."""

    name: str
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    brightness: float
    texture: float = 0.04
    label: int = 0
    jitter: float = 0.05


# Painted in this order: a later structure covers an earlier one. Axes z (feet to head), y (front
# to back), x (patient's right to left). Muscle, stomach wall and bowel repeat the organs'
# brightness on purpose: brightness alone should not suffice to find an organ.
ANATOMY = (
    Structure("wall", (0.0, 0.0, 0.0), (1.9, 0.93, 0.95), 0.22, 0.03),
    Structure("cavity", (0.0, -0.05, 0.0), (1.8, 0.75, 0.82), 0.12, 0.03),
    Structure("muscle right", (0.0, 0.62, -0.32), (1.9, 0.17, 0.24), 0.30),
    Structure("muscle left", (0.0, 0.62, 0.32), (1.9, 0.17, 0.24), 0.30),
    Structure("spine", (0.0, 0.45, 0.0), (1.9, 0.20, 0.15), 0.42, 0.05),
    Structure("cord", (0.0, 0.52, 0.0), (1.9, 0.05, 0.05), 0.95, 0.02),
    Structure("liver", (0.25, -0.12, -0.42), (0.62, 0.50, 0.40), 0.38, 0.03, label=1),
    Structure("gall bladder", (-0.05, -0.30, -0.22), (0.16, 0.12, 0.10), 1.0, 0.02),
    Structure("stomach", (0.35, -0.28, 0.32), (0.35, 0.26, 0.26), 0.48, 0.08),
    Structure("spleen", (0.35, 0.22, 0.62), (0.36, 0.24, 0.17), 0.68, 0.03, label=4),
    Structure("bowel front", (-0.45, -0.35, 0.10), (0.40, 0.20, 0.45), 0.66, 0.12),
    Structure("bowel left", (-0.55, -0.05, 0.50), (0.40, 0.18, 0.20), 0.80, 0.10),
    Structure("right kidney", (-0.20, 0.33, -0.42), (0.40, 0.17, 0.17), 0.80, 0.04, label=2),
    Structure("left kidney", (-0.10, 0.33, 0.40), (0.40, 0.17, 0.17), 0.80, 0.04, label=3),
    Structure("aorta", (0.0, 0.20, 0.06), (1.9, 0.06, 0.06), 0.05, 0.02),
    Structure("vena cava", (0.0, 0.20, -0.12), (1.9, 0.06, 0.07), 0.08, 0.02),
)


@dataclass(frozen=True)
class PhantomVolume:
    """One phantom case: ``image`` in scanner-like units and ``label``, both (z, y, x)."""

    image: NDArray[np.float32]
    label: NDArray[np.uint8]


def make_phantom_volume(seed: int, *, size: int = 128, n_slices: int = 24) -> PhantomVolume:
    """Draw one case.

    Args:
        seed: the same seed gives the same volume.
        size: rows and columns of a slice; at least 32.
        n_slices: axial slices; at least 4.
    """
    if size < 32 or n_slices < 4:
        raise ValueError(f"a phantom needs size >= 32 and n_slices >= 4, not {size} and {n_slices}")
    rng = np.random.default_rng(seed)
    shape = (n_slices, size, size)
    coordinates = _body_coordinates(rng, shape)
    image = np.full(shape, 0.01)
    label = np.zeros(shape, dtype=np.uint8)
    for structure in ANATOMY:
        inside = _ellipsoid(rng, structure, coordinates)
        texture = structure.texture * _smooth_noise(rng, shape, 0.7)
        brightness = structure.brightness * (1 + 0.12 * rng.standard_normal()) + texture
        image = np.where(inside, brightness, image)
        label[inside] = structure.label
    return PhantomVolume(_acquire(rng, image).astype(np.float32), label)


def make_phantom(
    root: str | Path,
    *,
    n_cases: int = 8,
    seed: int = 0,
    size: int = 128,
    n_slices: int | None = None,
) -> Path:
    """Write a phantom data set in the field's layout and return its image folder.

    Args:
        root: the data root; ``phantom_normalized/image_<id>.nii.gz`` and ``label_<id>.nii.gz``
            are written below it, ids from 1.
        n_cases: how many cases.
        seed: case i is drawn from (seed, i), so a longer data set begins with the shorter one.
        size: rows and columns of a slice.
        n_slices: slices of each case, which hold the same body; 22 to 27 by default.
    """
    folder = Path(root) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    pixel = FIELD_OF_VIEW / size
    affine = np.diag([-pixel, -pixel, SLICE_THICKNESS, 1.0])  # to the left, back and head
    affine[:2, 3] = 0.5 * FIELD_OF_VIEW
    for case in track(range(1, n_cases + 1), "Phantom volumes", transient=True):
        case_seed = int(np.random.SeedSequence([seed, case]).generate_state(1)[0])
        depth = 22 + case_seed % 6 if n_slices is None else n_slices
        volume = make_phantom_volume(case_seed, size=size, n_slices=depth)
        write_nifti(folder / f"image_{case}.nii.gz", volume.image, affine)
        write_nifti(folder / f"label_{case}.nii.gz", volume.label, affine)
    return folder


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    """Noise of standard deviation 1 whose grain is ``scale`` tenths of a slice."""
    sigma = (scale * shape[0] / 15, scale * shape[1] / 15, scale * shape[2] / 15)
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="nearest")
    return np.asarray(noise / (noise.std() + 1e-12))


def _body_coordinates(rng: np.random.Generator, shape: tuple[int, ...]) -> list[Array]:
    """Coordinates z, y, x in the body: its own size, place and smooth deformation per case."""
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    stretch = (1.0, 1.15, 1.05) * (1 + 0.06 * rng.standard_normal(3))
    shift = (0.12, 0.03, 0.03) * rng.standard_normal(3)
    return [
        (axis * factor - offset) + 0.035 * _smooth_noise(rng, shape, 3.0)
        for axis, factor, offset in zip(grid, stretch, shift, strict=True)
    ]


def _ellipsoid(
    rng: np.random.Generator, structure: Structure, coordinates: list[Array]
) -> NDArray[np.bool_]:
    centre = np.asarray(structure.centre) + structure.jitter * rng.uniform(-1, 1, 3)
    radii = np.asarray(structure.radii) * rng.uniform(0.85, 1.15, 3)
    distance = sum(
        ((axis - middle) / radius) ** 2
        for axis, middle, radius in zip(coordinates, centre, radii, strict=True)
    )
    return np.asarray(distance < 1)


def _acquire(rng: np.random.Generator, image: Array) -> Array:
    """What a scanner adds: partial volume, coil bias, Rician noise and an arbitrary gain."""
    blurred = ndimage.gaussian_filter(image, (0.3, 0.6, 0.6))
    biased = blurred * np.exp(0.12 * _smooth_noise(rng, image.shape, 6.0))
    real, imaginary = 0.03 * rng.standard_normal((2, *image.shape))
    gain = 900 * np.exp(0.2 * rng.standard_normal())
    return np.asarray(gain * np.hypot(biased + real, imaginary))
