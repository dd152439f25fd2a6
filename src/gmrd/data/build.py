"""From the flat ``data`` section of a configuration to typed records.

The section is flat to keep command lines short (``data.n_shot=5``); this module assigns each key
to its record. ``gmrd-prepare``, ``gmrd-inspect`` and ``gmrd-supervoxels`` only need the
description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from omegaconf import DictConfig, OmegaConf

from gmrd.data.cases import CASE, Layout
from gmrd.data.datamodule import EpisodeDataModule
from gmrd.data.description import DatasetDescription
from gmrd.data.episode_settings import EpisodeSettings
from gmrd.data.prepare.settings import Preparation
from gmrd.data.root import root_of
from gmrd.data.split import ProtocolChoice, Split
from gmrd.data.supervoxel_files import Supervoxels
from gmrd.errors import InputError
from gmrd.values.fit import fitted
from gmrd.values.kinds import Count, Natural

MIN_SIZE = "{min_size}"
"""Stands in the path of the supervoxels for their ``min_size``."""

RECORDS = (DatasetDescription, ProtocolChoice, EpisodeSettings)
FILES: Mapping[str, Any] = {"images": str, "labels": str | None, "pseudo_labels": str}
LOADER: Mapping[str, Any] = {"batch_size": Count, "num_workers": Natural}
WRITTEN_OTHERWISE: Mapping[str, Any] = {
    "root": str | Path,
    "cache_dir": str | Path,
    "folds": Sequence[Sequence[str | int]],
}
"""Attributes of the records that have another form in a section."""

REQUIRED = ("name", "classes", *FILES)

Settings = Mapping[str, Any]
"""A ``data`` section as plain Python; keys with an underscore are Hydra's."""


class Section:
    """In ``Annotated``: a ``data`` section."""

    def fitted(self, key: str, value: Any) -> Any:
        """The section with its records (supervoxels, augmentation, preparation) made.

        Raises:
            InputError: a key is unknown, or a value is not of the declared type.
        """
        return fitted(key, value, kinds())

    def describe(self, what: str) -> str:
        """What is expected."""
        return "the settings of a data set"


class Prepared:
    """In ``Annotated``: a ``preparation`` section, in which null stands for a default."""

    def fitted(self, key: str, value: Any) -> Preparation | None:
        """The section's record; None for data prepared by other means, which has no ``images``.

        Raises:
            InputError: a key is unknown, or a value is not of the declared type.
        """
        if not isinstance(value, Mapping):
            made: Preparation | None = fitted(key, value, Preparation | None)
            return made
        known = {f.name for f in fields(Preparation)}
        given = {n: v for n, v in value.items() if v is not None or n not in known}
        record: Preparation = fitted(key, {"images": CASE} | given, Preparation)
        return record if "images" in given else None

    def describe(self, what: str) -> str:
        """What is expected."""
        return "the steps of gmrd-prepare"


def kinds() -> dict[str, Any]:
    """What each key of a ``data`` section may hold; null stands for a default."""
    declared: dict[str, Any] = {"joined": Mapping[str, Annotated[Any, Section()]]}
    for record in RECORDS:
        declared |= get_type_hints(record, include_extras=True)
    del declared["layout"]
    declared |= {**FILES, **LOADER, **WRITTEN_OTHERWISE}
    declared["preparation"] = Annotated[Any, Prepared()]
    return {n: kind if n in REQUIRED else kind | None for n, kind in declared.items()}


def data_module(
    *, joined: Mapping[str, EpisodeDataModule] | None = None, **settings: Any
) -> EpisodeDataModule:
    """The data module of a ``data`` section; called by Hydra.

    Args:
        joined: Data modules of other data sets that episodes also come from, by name.
        **settings: The section: attributes of :class:`DatasetDescription` (with ``images``,
            ``labels`` and ``pseudo_labels`` in place of its layout), of :class:`ProtocolChoice`
            and of :class:`EpisodeSettings`; ``batch_size`` and ``num_workers``.

    Raises:
        InputError: A key is unknown, or a value cannot be used.
    """
    return EpisodeDataModule(
        read_split(settings),
        read_episodes(settings),
        joined=tuple((joined or {}).values()),
        **{name: settings[name] for name in LOADER if name in settings},
    )


def plain(section: DictConfig) -> dict[str, Any]:
    """A ``data`` section of a configuration as plain Python, all references resolved."""
    found: Any = OmegaConf.to_container(section, resolve=True, throw_on_missing=True)
    return dict(found)


def read_description(settings: Settings) -> DatasetDescription:
    """The data set of a ``data`` section.

    Raises:
        InputError: ``root`` is not set, or the section is refused.
    """
    known = _fitted(settings)
    supervoxels = known.get("supervoxels") or Supervoxels()
    changed: dict[str, Any] = {"root": root_of(known), "layout": _layout(known, supervoxels)}
    if known.get("cache_dir"):
        changed["cache_dir"] = Path(known["cache_dir"])
    if known.get("folds") is not None:
        changed["folds"] = [[str(case) for case in members] for members in known["folds"]]
    return DatasetDescription(**_of(DatasetDescription, known) | changed)


def read_split(settings: Settings) -> Split:
    """The data set of a ``data`` section and what it chooses of the protocol."""
    choice = ProtocolChoice(**_of(ProtocolChoice, _fitted(settings)))
    return Split(read_description(settings), choice)


def read_episodes(settings: Settings) -> EpisodeSettings:
    """The episode settings of a ``data`` section."""
    return EpisodeSettings(**_of(EpisodeSettings, _fitted(settings)))


def _fitted(settings: Settings) -> dict[str, Any]:
    # joined sections are already data modules, or are read separately
    own = {name: value for name, value in settings.items() if name != "joined"}
    found: dict[str, Any] = fitted("data", own, kinds())
    return found


def _of(record: type, settings: Settings) -> dict[str, Any]:
    """The settings that are attributes of a record; null stands for its default."""
    names = {f.name for f in fields(record)}
    return {name: v for name, v in settings.items() if name in names and v is not None}


def _layout(settings: Settings, supervoxels: Supervoxels) -> Layout:
    images, labels, pseudo_labels = (settings.get(name) for name in FILES)
    if images is None or pseudo_labels is None:
        raise InputError("data.images and data.pseudo_labels must each name files")
    return Layout(images, labels, pseudo_labels.replace(MIN_SIZE, str(supervoxels.min_size)))
