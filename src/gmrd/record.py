"""What a checkpoint remembers of its training: one record, plain data in the file, typed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from gmrd.errors import InputError

Plain = str | int | float | bool | None | list[Any]
"""A setting as YAML and JSON know it."""


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """Geometry and intensities of the training volumes, what was held out, and how it was trained.

    What an older or converted checkpoint does not tell is None or empty.

    Attributes:
        name: of the data set.
        orientation: of the volumes, nibabel's axis codes of (x, y, z), such as ``LAS``.
        spacing: voxel size (z, y, x) in mm.
        slice_shape: rows and columns of a slice.
        window: values that preparation clipped a CT to, in Hounsfield units.
        clip_percentile: percentile that preparation clipped an MRI's brightest voxels to.
        cases: ids of the cases that were trained on.
        joined: the same of each further data set, by its name.
        fold: the fold that was held out.
        setting: 1, or 2 where slices of the tested organs were left out.
        group: number of the group of organs that Setting 2 left out.
        seed: of the draws.
        variant: of the method: ``paper`` or ``head``.
        pretrained: weights that training began from; None for random ones.
        max_steps: steps that the training was to take.
        settings: all else that decides what is learned, by its key in the configuration.
        versions: of the packages that trained, by name.
    """

    name: str
    orientation: str
    spacing: tuple[float, float, float]
    slice_shape: tuple[int, int]
    window: tuple[float, float] | None = None
    clip_percentile: float | None = None
    cases: tuple[str, ...] | None = None
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fold: int | None = None
    setting: int | None = None
    group: int | None = None
    seed: int | None = None
    variant: str | None = None
    pretrained: str | None = None
    max_steps: int | None = None
    settings: Mapping[str, Plain] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any] | None) -> TrainingRecord | None:
        """Read and check a checkpoint's entry; None where the checkpoint has none.

        Raises:
            InputError: an entry is missing, unknown or of the wrong kind.
        """
        if not plain:
            return None
        known = {entry.name for entry in fields(cls)}
        for name in ("name", "orientation", "spacing", "slice_shape"):
            if name not in plain:
                raise InputError(f"{_WHERE} has no {name}: {_REMEDY}")
        for name in plain:
            if name not in known:
                raise InputError(f"{_WHERE} has an unknown entry {name}={plain[name]}: {_REMEDY}")
        return cls(**{name: _checked(name, value) for name, value in plain.items()})

    def to_plain(self) -> dict[str, Any]:
        """Dictionaries, lists, texts and numbers alone, as ``weights_only=True`` reads them."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


_WHERE = "the checkpoint's record of its training"
_REMEDY = "the file was edited, or written by another version of gmrd; train again with this one"


def _sequence(kind: Callable[[Any], Any], length: int | None = None) -> Callable[[Any], Any]:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)) or length not in (None, len(value)):
            raise TypeError(f"{length or 'any number of'} entries in a list")
        return tuple(kind(entry) for entry in value)

    return read


def _mapping(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise TypeError("names with a value each")
        return {_text(name): kind(entry) for name, entry in value.items()}

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text")
    return value


def _axes(value: Any) -> str:
    opposite = {"L": "R", "P": "A", "I": "S"}
    if sorted(opposite.get(c, c) for c in _text(value)) != ["A", "R", "S"]:
        raise TypeError("three axis codes such as LAS")
    return str(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("a number")
    return float(value)


def _positive(value: Any) -> float:
    if _number(value) <= 0:
        raise TypeError("a number above 0")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("a whole number")
    return value


def _any(value: Any) -> Any:
    return value


_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "name": _text, "orientation": _axes, "variant": _text, "pretrained": _text,
    "fold": _whole, "setting": _whole, "group": _whole, "seed": _whole, "max_steps": _whole,
    "spacing": _sequence(_positive, 3), "slice_shape": _sequence(_whole, 2),
    "window": _sequence(_number, 2), "clip_percentile": _number,
    "cases": _sequence(_text), "joined": _mapping(_sequence(_text)),
    "settings": _mapping(_any), "versions": _mapping(_text),
}  # fmt: skip
"""How each entry is read; the error tells what was expected."""

_REQUIRED = ("name", "orientation", "spacing", "slice_shape", "joined", "settings", "versions")


def _checked(name: str, value: Any) -> Any:
    if value is None and name not in _REQUIRED:
        return None
    try:
        return _KINDS[name](value)
    except TypeError as error:
        raise InputError(f"{_WHERE} has {name}={value}, not {error}: {_REMEDY}") from error


def _plain(value: Any) -> Any:
    """Tuples as lists, at any depth."""
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value
