"""The intensity preprocessing of training: outliers clipped, then standardised per volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32

from gmrd.data.volume import HOW
from gmrd.values.arguments import refuse_wrong_fields
from gmrd.values.kinds import Percentile, Window
from gmrd.viz.pictures import grey_range

AIR = -500.0
"""In Hounsfield units; MRI and windowed CT have no values as low."""
SOFT_TISSUE = (-160.0, 240.0)
"""Display window of an abdominal CT, in Hounsfield units."""


@dataclass(frozen=True)
class Intensity:
    """Clipping of a scan's intensities before it is resampled to the training geometry.

    Attributes:
        window: lowest and highest value kept, such as (-125, 275) HU for an abdominal CT.
        clip_percentile: values above this percentile are clipped to it, as is usual for MRI;
            ignored with a window.
        standard: ``z_score`` per volume, or ``ranks`` within the body; None for that of the
            training.

    Raises:
        InputError: the window is empty or reversed, or the percentile is out of range.
    """

    window: Window | None = None
    clip_percentile: Percentile | None = None
    standard: Literal["z_score", "ranks"] | None = None

    def __post_init__(self) -> None:
        refuse_wrong_fields("intensity", self)

    def __call__(self, image: Float32[np.ndarray, "z y x"]) -> Float32[np.ndarray, "z y x"]:
        """The image with its outliers clipped."""
        if self.window is not None:
            low, high = self.window
            return np.asarray(np.clip(image, low, high))
        if self.clip_percentile is None:
            return image
        top = np.percentile(image, self.clip_percentile)
        return np.asarray(np.minimum(image, np.float32(top)))

    def standardised(self, slices: Float32[np.ndarray, "z y x"]) -> Float32[np.ndarray, "z y x"]:
        """The clipped scan on the training's slices, as the network takes it."""
        return HOW[self.standard or "z_score"](slices)


def in_hounsfield(image: Float32[np.ndarray, "z y x"]) -> bool:
    """Whether a scan looks like an unwindowed CT, with air around the patient."""
    # Slice by slice; a percentile would copy the scan.
    air = sum(np.count_nonzero(piece < AIR) for piece in image)
    return bool(air > 0.01 * image.size)


def shown_range(image: Float32[np.ndarray, "z y x"]) -> tuple[float, float]:
    """The values shown as black and white in pictures of the scan."""
    return SOFT_TISSUE if in_hounsfield(image) else grey_range(image)
