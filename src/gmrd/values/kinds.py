"""Constraints in annotations beyond the type: a range, a length, a form.

``Annotated[int, Within(1)]`` is a whole number from 1; common ones have names below.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Within:
    """A range including its ends; ``above`` is an exclusive lower end."""

    least: float | int | None = None
    most: float | int | None = None
    above: float | int | None = None

    def allows(self, value: float | int) -> bool:
        """Whether a number lies in the range."""
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
        )

    def describe(self, what: str) -> str:
        """``a number`` with its range."""
        if self.above is not None:
            return f"{what} above {self.above:g}"
        if self.most is None:
            return f"{what}, {self.least:g} or more"
        return f"{what} from {self.least:g} to {self.most:g}"


@dataclass(frozen=True)
class Such:
    """A form checked by ``test`` and described by ``text``, instead of the type's name."""

    text: str
    test: Callable[[Any], bool]

    def allows(self, value: Any) -> bool:
        """Whether a value has the form."""
        return bool(self.test(value))

    def describe(self, what: str) -> str:
        """The form."""
        return self.text


@dataclass(frozen=True)
class Formerly:
    """The former names of a choice, in the order of the present ones."""

    names: tuple[str, ...]

    def describe(self, what: str) -> str:
        """The choices with their former names."""
        return f"{what} (formerly {' and '.join(self.names)})"


Number = float | int
Count = Annotated[int, Within(1)]
Natural = Annotated[int, Within(0)]
Positive = Annotated[float | int, Within(above=0)]
NonNegative = Annotated[float | int, Within(0)]
Share = Annotated[float | int, Within(0, 1)]
Percentile = Annotated[float | int, Within(0, 100)]
Seed = Annotated[int, Within(0, 2**32 - 1)]
Workers = Annotated[
    int,
    Such(
        "a whole number other than 0 (-1: all cores) and at most 1024",
        lambda n: n != 0 and n <= 1024,
    ),
]
"""joblib fails on tens of thousands."""
is_device = re.compile(r"auto|(cpu|cuda|mps|xpu|hpu|xla)(:(0|[1-9]\d?))?").fullmatch
"""Whether a name is ``auto`` or a torch device, on this machine or not."""

Device = Annotated[str, Such("auto, cpu, cuda or another kind of torch's devices", is_device)]
Range = Annotated[
    Sequence[float | int],
    Such("two numbers, the lower one first", lambda ends: len(ends) == 2 and ends[0] <= ends[1]),
]
Window = Annotated[
    Sequence[float | int],
    Such("the lowest value, then a higher one", lambda ends: len(ends) == 2 and ends[0] < ends[1]),
]
Spacing = Annotated[
    Sequence[float | int],
    Such("three lengths above 0", lambda sizes: len(sizes) == 3 and min(sizes) > 0),
]


def _are_axes(codes: str) -> bool:
    opposite = {"L": "R", "P": "A", "I": "S"}
    return sorted(opposite.get(code, code) for code in codes) == ["A", "R", "S"]


Orientation = Annotated[str, Such("three axis codes such as LAS", _are_axes)]
"""Nibabel's codes of the directions of x, y and z."""
