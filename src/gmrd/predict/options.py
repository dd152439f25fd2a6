"""How a query is matched with its supports and cleaned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gmrd.errors import InputError

LEAST = {"margin": 0, "n_support_slices": 1, "smoothing": 0, "batch_size": 1}
"""The least value of an option."""

REAL = ("margin", "smoothing")
"""Options that may be fractions."""


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
        InputError: a value is out of its range.
    """

    encoder: str = "lite0"
    extent: Literal["aligned", "all"] = "aligned"
    margin: float = 0.1
    n_support_slices: int = 3
    smoothing: float = 1.0
    largest_component: bool = True
    batch_size: int = 8
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.extent not in ("aligned", "all"):
            raise InputError(f"options.extent={self.extent}: choose aligned or all")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if not math.isfinite(value):
                raise InputError(f"options.{name}={value} is no number: the least is {least}")
            if value < least:
                raise InputError(f"options.{name}={value}: the least that makes sense is {least}")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Options:
        """Of a configuration, whose values may be of any kind.

        Raises:
            InputError: a value is of the wrong kind or out of its range.
        """
        for name, least in LEAST.items():
            value, real = settings.get(name, least), name in REAL
            if isinstance(value, bool) or not isinstance(value, (int, float) if real else int):
                what = "number" if real else "whole number"
                raise InputError(f"options.{name}={value} is no {what}: the least is {least}")
        return cls(**settings)
