"""Published Dice of GMRD in per cent, for comparison."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Cheng et al., IEEE TMI 43(6), 2024, doi 10.1109/TMI.2024.3358295, as later papers tabulate it.
_ABDOMEN = ("liver", "right_kidney", "left_kidney", "spleen", "mean")
_DICE: dict[tuple[str, int], dict[str, float]] = {
    ("chaost2", 1): dict(zip(_ABDOMEN, (81.42, 90.12, 83.96, 76.09, 82.90), strict=True)),
    ("chaost2", 2): dict(zip(_ABDOMEN, (80.25, 86.66, 78.65, 73.25, 79.70), strict=True)),
    ("sabs", 1): dict(zip(_ABDOMEN, (79.60, 74.46, 81.70, 78.31, 78.52), strict=True)),
    ("sabs", 2): dict(zip(_ABDOMEN, (80.39, 76.17, 77.40, 75.30, 77.32), strict=True)),
    ("cmr", 1): {"mean": 79.11},
}


def published_dice(data: str, setting: int) -> Mapping[str, float]:
    """Published Dice by organ and ``mean``; empty where nothing was published."""
    return MappingProxyType(_DICE.get((data, setting), {}))
