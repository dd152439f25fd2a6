"""How a query is matched with its supports and cleaned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gmrd.values.arguments import refuse_wrong_fields
from gmrd.values.kinds import Count, NonNegative


@dataclass(frozen=True)
class Options:
    """How a query is matched with its supports and cleaned.

    Attributes:
        encoder: whose features are matched: ``lite0``, ``lite1`` or ``lite2``.
        extent: with a checkpoint, ``aligned`` leaves out query slices that lie, by alignment
            with the support, more than ``margin`` outside the organ; ``all`` predicts every slice.
        margin: share of the organ's length that is still searched beyond each of its ends.
        n_support_slices: annotated slices that a network takes from every support scan; without
            a checkpoint all are used.
        smoothing: of a network's probabilities along z, as a Gaussian's deviation in slices.
        largest_component: keep only as many pieces of an organ as the support has.
        batch_size: query slices that a network encodes together.
        device: of the network: ``auto``, ``cpu``, ``cuda`` or what torch calls a device.

    Raises:
        InputError: a value is none of these, or out of its range.
    """

    encoder: Literal["lite0", "lite1", "lite2"] = "lite0"
    extent: Literal["aligned", "all"] = "aligned"
    margin: NonNegative = 0.1
    n_support_slices: Count = 3
    smoothing: NonNegative = 1.0
    largest_component: bool = True
    batch_size: Count = 8
    device: str = "auto"

    def __post_init__(self) -> None:
        refuse_wrong_fields("options", self)
