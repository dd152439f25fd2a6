"""The type of the fixture that builds data modules."""

from __future__ import annotations

from collections.abc import Callable

from gmrd.data.datamodule import EpisodeDataModule

MakeData = Callable[..., EpisodeDataModule]
