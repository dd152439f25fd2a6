"""Options of segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gmrd.values.arguments import refuse_wrong_fields
from gmrd.values.kinds import Count, Device, Natural, NonNegative


@dataclass(frozen=True)
class Options:
    """Options of segmentation.

    Attributes:
        encoder: whose features are matched: ``lite0``, ``lite1`` or ``lite2``.
        adapt: steps of tuning on the supports before any query: of the matching, or with a
            checkpoint of the network; 0 for none.
        extent: with a checkpoint, ``aligned`` skips query slices that lie, once aligned with the
            support, more than ``margin`` outside the organ; ``all`` predicts every slice.
        margin: share of the organ's length that is also searched beyond each end.
        n_support_slices: annotated slices that a network uses from each support; without a
            checkpoint all are used.
        smoothing: of a network's probabilities along z: standard deviation of a Gaussian, in
            slices.
        largest_component: keep an organ's largest component only; without a checkpoint, as many
            components as are annotated.
        batch_size: query slices that a network encodes together.
        device: of the network: ``auto``, ``cpu``, ``cuda`` or another torch device.

    Raises:
        InputError: a value is invalid or out of range.
    """

    encoder: Literal["lite0", "lite1", "lite2"] = "lite0"
    adapt: Natural = 0
    extent: Literal["aligned", "all"] = "aligned"
    margin: NonNegative = 0.1
    n_support_slices: Count = 3
    smoothing: NonNegative = 1.0
    largest_component: bool = True
    batch_size: Count = 8
    device: Device = "auto"

    def __post_init__(self) -> None:
        refuse_wrong_fields("options", self)
