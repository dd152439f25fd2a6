"""Several data sets joined for training, one of them tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gmrd.data.datamodule import EpisodeDataModule
from gmrd.data.episodes import EpisodeSource


class JoinedDataModule(EpisodeDataModule):
    """A data set whose training episodes also come from others, for cross-domain training.

    Each episode takes its data set with equal probability, and all slices of one episode are of
    one data set. Every data set keeps its fold, its setting and its excluded classes; the
    evaluation is of the first one alone.

    Args:
        joined: The other data sets by name.
        settings: Of the data set that is tested, see
            :class:`gmrd.data.datamodule.EpisodeDataModule`; they also hold for the episodes.
    """

    def __init__(self, *, joined: Mapping[str, EpisodeDataModule], **settings: Any) -> None:
        super().__init__(**settings)
        self.joined = dict(joined)
        for other in self.joined.values():
            other.image_size = self.image_size

    def prepare_data(self) -> None:
        """Make the supervoxels that any of the data sets lacks."""
        super().prepare_data()
        for other in self.joined.values():
            other.prepare_data()

    def sources(self) -> list[EpisodeSource]:
        """The data sets that episodes come from, the tested one first."""
        return [self.episode_source(), *(d.episode_source() for d in self.joined.values())]
