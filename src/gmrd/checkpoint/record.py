"""A checkpoint's record of its training: plain data in the file, typed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from gmrd.errors import InputError
from gmrd.module import GMRDModule
from gmrd.values.fit import fitted
from gmrd.values.kinds import Count, Orientation, Positive

Plain = str | int | float | bool | None | list[Any]
"""A setting's value, as in YAML and JSON."""


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """Geometry and intensities of the training volumes, the tested data, and the settings.

    Values that an older or converted checkpoint does not record are None or empty.

    Attributes:
        name: of the data set.
        orientation: of the volumes, nibabel's axis codes of (x, y, z), such as ``LAS``.
        spacing: voxel size (z, y, x) in mm.
        slice_shape: rows and columns of a slice.
        window: range to which preparation clipped a CT, in Hounsfield units.
        clip_percentile: percentile to which preparation clipped an MRI's brightest voxels.
        intensity: standardisation of intensities, ``z_score`` or ``ranks``.
        cases: ids of the training cases.
        joined: the same for each joined data set, by its name.
        fold: the tested fold.
        setting: 1, or 2 if slices of the test organs were excluded.
        group: number of the group of organs excluded in Setting 2.
        seed: of the random draws.
        variant: of the method: ``paper`` or ``head``.
        pretrained: initial weights; None for random ones.
        max_steps: planned number of steps.
        settings: all other settings that affect the result, by key in the configuration.
        versions: of the packages used for training, by name.
    """

    name: str
    orientation: Orientation
    spacing: tuple[Positive, Positive, Positive]
    slice_shape: tuple[Count, Count]
    window: tuple[float, float] | None = None
    clip_percentile: float | None = None
    intensity: Literal["z_score", "ranks"] = "z_score"
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
        """Read and check a checkpoint's entry; None if there is none.

        Raises:
            InputError: an entry is missing, unknown or of the wrong kind.
        """
        if not plain:
            return None
        try:
            record: TrainingRecord = fitted("", plain, cls)
        except InputError as error:
            raise InputError(
                f"the checkpoint's record of its training cannot be used: {error}. The file was "
                "edited or comes from another version of gmrd: train again with this one"
            ) from error
        return record

    def to_plain(self) -> dict[str, Any]:
        """Dictionaries, lists, texts and numbers only, as ``weights_only=True`` requires."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def record_of(module: GMRDModule) -> TrainingRecord | None:
    """The record of the module's training; None if there is none.

    Raises:
        InputError: an entry is not valid.
    """
    plain: Any = module.hparams.get("scans")
    return TrainingRecord.from_plain(plain)


def _plain(value: Any) -> Any:
    """Tuples as lists, at any depth."""
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value
