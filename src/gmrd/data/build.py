"""From the flat ``data`` section of a configuration to the records that it speaks of.

The section is flat so that a command line stays short (``data.n_shot=5``); which record a key
belongs to is decided here, once. ``gmrd-prepare``, ``gmrd-inspect`` and ``gmrd-supervoxels``
take the description alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gmrd.data.augmentation import Augmentation
from gmrd.data.cases import Layout
from gmrd.data.datamodule import EpisodeDataModule
from gmrd.data.description import DatasetDescription
from gmrd.data.episode_settings import EpisodeSettings
from gmrd.data.pseudo_labels import Supervoxels
from gmrd.data.root import root_of
from gmrd.data.split import ProtocolChoice, Split
from gmrd.errors import InputError

MIN_SIZE = "{min_size}"
"""Stands in the path of the supervoxels for their ``min_size``."""

FILES = ("images", "labels", "pseudo_labels")
LOADER = ("batch_size", "num_workers")
RECORDS = (DatasetDescription, ProtocolChoice, EpisodeSettings)

Settings = Mapping[str, Any]
"""A ``data`` section as plain Python; keys with an underscore are Hydra's."""


def data_module(
    *, joined: Mapping[str, EpisodeDataModule] | None = None, **settings: Any
) -> EpisodeDataModule:
    """The training's data module of a ``data`` section; what Hydra calls.

    Args:
        joined: Data modules of other data sets that episodes also come from, by name.
        **settings: The section: attributes of :class:`DatasetDescription` (with ``images``,
            ``labels`` and ``pseudo_labels`` in place of its layout), of :class:`ProtocolChoice`
            and of :class:`EpisodeSettings`; ``batch_size`` and ``num_workers``.

    Raises:
        InputError: A key that nothing reads, or a value that cannot be used.
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
        InputError: ``root`` is not set, or a key is unknown.
    """
    _refuse_unknown(settings)
    supervoxels = Supervoxels(**(settings.get("supervoxels") or {}))
    folds = settings.get("folds")
    changed: dict[str, Any] = {
        "root": root_of(settings),
        "layout": _layout(settings, supervoxels),
        "classes": {int(c): str(label) for c, label in settings["classes"].items()},
        "test_groups": [[int(c) for c in group] for group in settings.get("test_groups") or ()],
        "label_values": {int(k): int(v) for k, v in (settings.get("label_values") or {}).items()},
        "supervoxels": supervoxels,
        "folds": None if folds is None else [[str(c) for c in members] for members in folds],
    }
    if settings.get("cache_dir"):
        changed["cache_dir"] = Path(settings["cache_dir"])
    given = {k: v for k, v in _of(DatasetDescription, settings).items() if k != "cache_dir"}
    return DatasetDescription(**{**given, **changed})


def read_split(settings: Settings) -> Split:
    """The data set of a ``data`` section and what it chooses of the protocol."""
    choice = ProtocolChoice(**_of(ProtocolChoice, settings))
    return Split(read_description(settings), choice)


def read_episodes(settings: Settings) -> EpisodeSettings:
    """How a ``data`` section has episodes drawn."""
    given = _of(EpisodeSettings, settings)
    augmentation = given.pop("augmentation", None)
    made = None if augmentation is None else Augmentation(**augmentation)
    return EpisodeSettings(**given, augmentation=made)


def _of(record: type, settings: Settings) -> dict[str, Any]:
    names = {f.name for f in fields(record)}
    return {name: value for name, value in settings.items() if name in names}


def _refuse_unknown(settings: Settings) -> None:
    known = {f.name for record in RECORDS for f in fields(record)} - {"layout"}
    known |= {*FILES, *LOADER, "joined"}
    for name in settings:
        if name not in known and not name.startswith("_"):
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean data.{near[0]}?" if near else f"known are {sorted(known)}"
            raise InputError(f"data.{name} is no setting of a data set: {hint}")


def _layout(settings: Settings, supervoxels: Supervoxels) -> Layout:
    images, labels, pseudo_labels = (settings[name] for name in FILES)
    return Layout(images, labels, pseudo_labels.replace(MIN_SIZE, str(supervoxels.min_size)))
