"""Lightning's view of a data set: training and validation episodes, and the test cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from gmrd.data.cache import VolumeCache
from gmrd.data.description import DatasetDescription
from gmrd.data.episode_settings import EpisodeSettings
from gmrd.data.episodes import EpisodeDataset, EpisodeSource
from gmrd.data.loader import EpisodeLoader, EpisodeSampler
from gmrd.data.pairing import ScoredCases
from gmrd.data.split import Split
from gmrd.data.supervoxel_files import make_up_to_date
from gmrd.errors import InputError
from gmrd.types import ScoredCase


class EpisodeDataModule(LightningDataModule):
    """Episodes from the training cases of a split, and its test cases.

    Args:
        split: The data set, and which part is for training.
        settings: How episodes are drawn.
        batch_size: Episodes in a batch.
        num_workers: Processes that make episodes.
        joined: Other data sets that training episodes also come from, for cross-domain training.
            Each episode draws its data set with equal probability, and takes all its slices from
            it. Every data set keeps its own fold, setting and excluded classes; the number and
            size of episodes are set by this one, and only this one is evaluated.
    """

    def __init__(
        self,
        split: Split,
        settings: EpisodeSettings,
        *,
        batch_size: int = 1,
        num_workers: int = 0,
        joined: Sequence[EpisodeDataModule] = (),
    ) -> None:
        super().__init__()
        self.split, self.settings = split, settings
        self.batch_size, self.num_workers = batch_size, num_workers
        self.joined = tuple(joined)

    @property
    def data(self) -> DatasetDescription:
        """The data set."""
        return self.split.data

    def prepare_data(self) -> None:
        """Compute the missing supervoxels of all data sets, with a progress bar."""
        make_up_to_date(self.split.train_cases, self.data.supervoxels)
        for other in self.joined:
            other.prepare_data()

    def episode_source(self) -> EpisodeSource:
        """The part of this data set from which episodes are drawn."""
        data, choice, settings = self.data, self.split.choice, self.settings
        tested = self.split.test_classes
        return EpisodeSource(
            name=data.name,
            volumes=VolumeCache(
                self.split.train_cases,
                data.cache_dir / data.name,
                settings.image_size,
                data.label_values,
                data.check_geometry,
                data.intensity,
            ),
            test_classes=tested if choice.setting == 2 else (),
            exclusion=choice.exclusion,
            true_classes=sorted(set(data.classes) - set(tested)) if choice.use_gt else (),
            held_out_fraction=float(
                settings.held_out_fraction if settings.n_validation_episodes else 0.0
            ),
            min_area=float(settings.min_area),
        )

    def sources(self) -> list[EpisodeSource]:
        """The data sets that episodes come from, this one first."""
        return [self.episode_source(), *(self._at_our_size(d) for d in self.joined)]

    def _at_our_size(self, other: EpisodeDataModule) -> EpisodeSource:
        settings = replace(other.settings, image_size=self.settings.image_size)
        return EpisodeDataModule(other.split, settings).episode_source()

    def episodes(self, *, validation: bool = False) -> EpisodeDataset:
        """The training episodes, or the validation episodes, which are not augmented."""
        settings = self.settings
        return EpisodeDataset(
            sources=self.sources(),
            seed=settings.seed,
            n_episodes=settings.n_validation_episodes if validation else settings.n_episodes,
            n_shot=self.split.choice.n_shot,
            n_query=settings.n_query,
            augmentation=None if validation else settings.augmentation,
            validation=validation,
            draw=settings.draw,
        )

    def train_dataloader(self) -> EpisodeLoader:
        """Batches of training episodes, from the first one not yet trained on."""
        dataset = self.episodes()
        trainer = self.trainer
        rank, n_processes = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        in_a_step = self.batch_size * n_processes
        if len(dataset) < in_a_step:
            raise InputError(
                f"data.n_episodes={len(dataset)} is fewer than the {in_a_step} episodes of one "
                f"step (data.batch_size={self.batch_size}, processes: {n_processes}): raise it"
            )
        sampler = EpisodeSampler(dataset, self._remaining, rank=rank, num_replicas=n_processes)
        return self._loader(dataset, sampler=sampler, drop_last=True)

    def val_dataloader(self) -> EpisodeLoader | list[EpisodeLoader]:
        """Batches of validation episodes: held-out supervoxels of the training volumes.

        No test case or organ label is used.
        """
        if not self.settings.n_validation_episodes:
            return []
        return self._loader(self.episodes(validation=True), shuffle=False)

    def test_dataloader(self) -> DataLoader[ScoredCase]:
        """The fold's query cases, each with the supports of its classes."""
        return DataLoader(ScoredCases(self.split), batch_size=None)

    def predict_dataloader(self) -> DataLoader[ScoredCase]:
        """The same cases as for testing."""
        return self.test_dataloader()

    def _remaining(self) -> range:
        """The episodes of the trainer's epoch that no process has been trained on.

        An epoch's last step takes fewer batches where ``accumulate_grad_batches`` does not divide
        their number; the next epoch continues with the next episode.
        """
        trainer = self.trainer
        if trainer is None or math.isinf(trainer.num_training_batches):  # nothing is fitted
            return range(self.settings.n_episodes)
        n_batches, per_step = int(trainer.num_training_batches), trainer.accumulate_grad_batches
        epoch, step = divmod(trainer.global_step, math.ceil(n_batches / per_step))
        begin, in_a_batch = epoch * n_batches, self.batch_size * trainer.world_size
        return range((begin + step * per_step) * in_a_batch, (begin + n_batches) * in_a_batch)

    def _loader(self, dataset: EpisodeDataset, **kwargs: Any) -> EpisodeLoader:
        return EpisodeLoader(
            dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            **kwargs,
        )
