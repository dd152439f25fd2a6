"""Episodes: support and query slices of one pseudo-class, drawn and augmented at random.

Episode ``i`` depends only on the seed and ``i``, so the episodes are the same for any number of
workers and after an interruption (paper sections III-A and IV-B).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from gmrd.data.augmentation import Augmentation
from gmrd.data.cache import CachedVolume, VolumeCache
from gmrd.data.protocol import ExclusionRule, excluded_slices
from gmrd.data.stretches import Draw, Stretches, find_stretches, held_out
from gmrd.errors import InputError
from gmrd.types import Episode

Side = tuple[Float[Tensor, "_ h w"], Float[Tensor, "_ h w"]]
"""Images and binary masks of the support or of the query."""


@dataclass(frozen=True)
class EpisodeSource:
    """The training volumes of a data set, and which slices and classes episodes may use.

    Attributes:
        name: Name of the data set, for messages.
        volumes: Training volumes by number.
        test_classes: Classes that training must not see; empty in Setting 1.
        exclusion: Which slices with test classes are removed.
        true_classes: Classes whose true labels replace the supervoxels; empty for training on
            supervoxels.
        held_out_fraction: Share of every volume's supervoxels that only validation uses.
        min_area: Least area of the class in one slice of the episode, in pixels of the files.
    """

    name: str
    volumes: VolumeCache
    test_classes: Sequence[int] = ()
    exclusion: ExclusionRule = "any"
    true_classes: Sequence[int] = ()
    held_out_fraction: float = 0.0
    min_area: float = 200.0

    def open(self, index: int, *, length: int, validation: bool) -> tuple[CachedVolume, Stretches]:
        """Volume ``index`` with the stretches of ``length`` slices that can be its episodes."""
        volume: CachedVolume = self.volumes[index]
        usable = np.ones(len(volume.image), dtype=bool)
        if self.test_classes:
            usable = ~excluded_slices(volume.presence, self.test_classes, self.exclusion)
        use_truth = bool(self.true_classes) and not validation
        areas = volume.label_areas if use_truth else volume.pseudo_label_areas
        if use_truth:
            keep = np.isin(np.arange(areas.shape[1]), self.true_classes)
        elif self.true_classes:
            keep = np.ones(areas.shape[1], dtype=bool)  # training sees no supervoxel at all
        else:
            keep = held_out(volume.case_id, areas.shape[1], self.held_out_fraction) == validation
        min_area = self.min_area * volume.min_area_scale
        return volume, find_stretches(areas, usable, keep, length=length, min_area=min_area)


@dataclass
class EpisodeDataset(Dataset[Episode]):
    """Episodes by number, each a batch of one; any integer from 0 is a valid number.

    An episode draws a data set, one of its volumes, one of the volume's classes and a run of
    neighbouring slices; volumes without a valid run are skipped.

    Attributes:
        sources: Data sets, drawn with equal probability.
        seed: Seed of all episodes.
        n_episodes: Length that the data set reports.
        n_shot: Support slices of an episode.
        n_query: Query slices of an episode.
        augmentation: Random transforms; none at all if None.
        validation: Draw from the held-out supervoxels.
        draw: How often each class comes, see :meth:`gmrd.data.stretches.Stretches.draw`.
    """

    sources: Sequence[EpisodeSource]
    seed: int
    n_episodes: int
    n_shot: int = 1
    n_query: int = 1
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    validation: bool = False
    draw: Draw = "even"
    _opened: dict[tuple[int, int], tuple[CachedVolume, Stretches]] = field(
        default_factory=dict, init=False, repr=False
    )

    def __len__(self) -> int:
        """The number of episodes asked for."""
        return self.n_episodes

    def __getstate__(self) -> dict[str, object]:
        """Without the opened files: another process opens its own."""
        return {**self.__dict__, "_opened": {}}

    def __getitem__(self, index: int) -> Episode:
        """Episode ``index``.

        Raises:
            InputError: If no volume of the data set drawn holds a valid run.
        """
        rng = np.random.default_rng([self.seed, int(self.validation), index])
        source = int(rng.integers(len(self.sources)))
        volume, stretches = self._draw_volume(source, rng)
        label, start = stretches.draw(rng, self.draw)
        order = np.arange(start, start + stretches.length)
        if rng.random() < 0.5:
            order = order[::-1]
        truth = bool(self.sources[source].true_classes) and not self.validation
        labels = volume.label if truth else volume.pseudo_label
        support = _slices(volume, labels, label, order[: self.n_shot])
        query = _slices(volume, labels, label, order[self.n_shot :])
        if self.augmentation is not None:
            support, query = augment(support, query, self.augmentation, rng)
        return Episode(
            support_images=support[0][None],
            support_masks=support[1][None],
            query_images=query[0][None],
            query_masks=query[1][None].long(),
            any_empty_support=bool((support[1].flatten(1).sum(1) == 0).any()),
        )

    def _draw_volume(self, source: int, rng: np.random.Generator) -> tuple[CachedVolume, Stretches]:
        for index in rng.permutation(len(self.sources[source].volumes)):
            volume, stretches = self._open(source, int(index))
            if stretches.labels:
                return volume, stretches
        raise InputError(self._no_episode(self.sources[source]))

    def _no_episode(self, source: EpisodeSource) -> str:
        kind = "held-out supervoxel" if self.validation else "class"
        tested = list(source.test_classes)
        removed = f" that show none of the test classes {tested}" if tested else ""
        return (
            f"{source.name}: no {kind} of any training case spans "
            f"{self.n_shot + self.n_query} neighbouring slices{removed} with at least "
            f"{source.min_area:g} pixels: lower data.n_shot or data.min_area, set "
            "data.held_out_fraction=0, or check the supervoxels with gmrd-inspect"
            + ("; another data.group may leave more slices" if tested else "")
        )

    def _open(self, source: int, index: int) -> tuple[CachedVolume, Stretches]:
        key = (source, index)
        if key not in self._opened:
            self._opened[key] = self.sources[source].open(
                index, length=self.n_shot + self.n_query, validation=self.validation
            )
        return self._opened[key]


def _slices(volume: CachedVolume, labels: np.ndarray, label: int, order: np.ndarray) -> Side:
    images = torch.from_numpy(np.stack([volume.image[z] for z in order]))
    masks = torch.from_numpy(np.stack([labels[z] == label for z in order])).float()
    return images, masks


def augment(
    support: Side, query: Side, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[Side, Side]:
    """Random intensity on one side and random geometry on one side, each side chosen at random.

    A geometric transform that would empty a mask is skipped, so that the class remains in the
    slice, unless ``augmentation.keep_emptied``.
    """
    sides = [support, query]
    which = int(rng.integers(2))
    images, masks = sides[which]
    sides[which] = augmentation.change_intensity(images, rng), masks
    which = int(rng.integers(2))
    moved = augmentation.change_geometry(*sides[which], rng)
    if augmentation.keep_emptied or bool((moved[1].flatten(1).sum(1) > 0).all()):
        sides[which] = moved
    return sides[0], sides[1]


def collate_episodes(episodes: Sequence[Episode]) -> Episode:
    """One batch of several episodes."""
    return replace(
        episodes[0],
        support_images=torch.cat([e.support_images for e in episodes]),
        support_masks=torch.cat([e.support_masks for e in episodes]),
        query_images=torch.cat([e.query_images for e in episodes]),
        query_masks=torch.cat([e.query_masks for e in episodes]),
        any_empty_support=any(e.any_empty_support for e in episodes),
    )
