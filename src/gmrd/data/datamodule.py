"""One data set as training and evaluation see it: its fold, setting, episodes and test cases."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning import LightningDataModule

from gmrd.data.augmentation import Augmentation
from gmrd.data.cache import VolumeCache
from gmrd.data.cases import Case, Layout, find_cases
from gmrd.data.episodes import EpisodeDataset, EpisodeSource
from gmrd.data.loader import EpisodeLoader, EpisodeSampler
from gmrd.data.protocol import ExclusionRule, FoldOrder, fold_cases, supports_of
from gmrd.data.pseudo_labels import Supervoxels, make_up_to_date, writable_root
from gmrd.data.volume import Volume, load_volume
from gmrd.errors import InputError, refuse_below_one


@dataclass(frozen=True)
class EvaluationCase:
    """A query volume of the fold with the support volumes of every class it is tested on.

    Attributes:
        query: The volume to segment, with its label.
        supports: For every class id the ``n_shot`` support volumes, with their labels.
    """

    query: Volume
    supports: Mapping[int, tuple[Volume, ...]]


class EpisodeDataModule(LightningDataModule):
    """Training episodes, validation episodes and evaluation cases of one data set.

    Args:
        name: Name of the data set.
        root: Folder that holds it.
        images: Path of the images below the root, with ``{case}`` for the case id.
        labels: Path of the labels; None for a data set that only trains.
        pseudo_labels: Path of the supervoxels; computed where they are missing.
        classes: Name of every class by its id in the labels.
        test_groups: The groups of classes that Setting 2 tests, one training for each.
        label_values: Class id of each value in the label files, where the two differ.
        supervoxels: ``min_size`` and ``scale`` of the supervoxels, see ``gmrd-supervoxels``.
        how_to_get: Sentence on where the data comes from, shown when it is missing.
        fold: Number of the fold that is tested, from 0.
        n_folds: Number of folds.
        fold_order: ``published`` or ``ordered``, see :func:`gmrd.data.protocol.fold_cases`.
        folds: The folds' case ids, in place of the rule.
        setting: 1, or 2 to train without the slices that show a class of the test group.
        group: Which of ``test_groups`` Setting 2 tests.
        exclusion: ``any`` or ``all``, see :func:`gmrd.data.protocol.excluded_slices`.
        use_gt: Train on the true labels of the classes that are not tested (Setting 2).
        n_cases: Use only the first cases.
        exclude: Ids of cases to leave out.
        support: ``last``, an index or ``rotate``, see :func:`gmrd.data.protocol.supports_of`.
        image_size: Side of the training slices; other sizes are resized.
        n_shot: Support slices of an episode, and support volumes of a test case.
        n_query: Query slices of an episode.
        min_area: Least area of the class in one slice of an episode, in pixels.
        held_out_fraction: Share of the supervoxels that only validation episodes use.
        augmentation: Arguments of :class:`gmrd.data.augmentation.Augmentation`; None for none.
        seed: Seed of the episodes.
        batch_size: Episodes in a batch.
        n_episodes: Episodes of an epoch.
        n_validation_episodes: Validation episodes, always the same; 0 for no validation.
        num_workers: Processes that make episodes.
        cache_dir: Folder for prepared arrays.
        check_geometry: Refuse labels that lie elsewhere than their image.
        preparation: Settings of ``gmrd-prepare``; its folder patterns and steps.
    """

    name: str

    def __init__(
        self,
        *,
        name: str,
        root: str | Path | None,
        images: str,
        labels: str | None,
        pseudo_labels: str,
        classes: Mapping[int, str],
        test_groups: Sequence[Sequence[int]] = (),
        label_values: Mapping[int, int] | None = None,
        supervoxels: Mapping[str, Any] | None = None,
        how_to_get: str = "",
        fold: int = 0,
        n_folds: int = 5,
        fold_order: FoldOrder = "published",
        folds: Sequence[Sequence[str | int]] | None = None,
        setting: int = 1,
        group: int = 0,
        exclusion: ExclusionRule = "any",
        use_gt: bool = False,
        n_cases: int | None = None,
        exclude: Sequence[str | int] = (),
        support: str | int = "last",
        image_size: int = 256,
        n_shot: int = 1,
        n_query: int = 1,
        min_area: float | int = 200,
        held_out_fraction: float | int = 0.05,
        augmentation: Mapping[str, Any] | None = None,
        seed: int = 0,
        batch_size: int = 1,
        n_episodes: int = 1000,
        n_validation_episodes: int = 100,
        num_workers: int = 0,
        cache_dir: str | Path | None = None,
        check_geometry: bool = True,
        preparation: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        refuse_below_one(
            **{
                "data.batch_size": batch_size, "data.n_episodes": n_episodes,
                "data.n_shot": n_shot, "data.n_query": n_query, "data.image_size": image_size,
            }
        )  # fmt: skip
        self.name, self.how_to_get = name, how_to_get
        self.layout = Layout(images, labels, pseudo_labels)
        self.root = _existing_root(name, root, self.layout, how_to_get)
        self.cache_dir = Path(cache_dir) if cache_dir else default_cache_dir()
        self.classes = {int(class_id): str(label) for class_id, label in classes.items()}
        self.test_groups = [[int(c) for c in members] for members in test_groups]
        self.label_values = {int(k): int(v) for k, v in (label_values or {}).items()}
        self.supervoxels = Supervoxels(**(supervoxels or {}))
        self.fold, self.n_folds, self.fold_order = fold, n_folds, fold_order
        self.folds = None if folds is None else [[str(c) for c in members] for members in folds]
        self.setting, self.group, self.exclusion, self.use_gt = setting, group, exclusion, use_gt
        self.n_cases, self.exclude, self.support = n_cases, list(exclude), support
        self.image_size, self.n_shot, self.n_query = image_size, n_shot, n_query
        self.min_area, self.held_out_fraction = float(min_area), float(held_out_fraction)
        self.augmentation = None if augmentation is None else Augmentation(**augmentation)
        self.seed, self.batch_size, self.num_workers = seed, batch_size, num_workers
        self.n_episodes, self.n_validation_episodes = n_episodes, n_validation_episodes
        self.check_geometry, self.preparation = check_geometry, preparation
        self._cases: list[Case] | None = None
        self.test_classes  # noqa: B018 - refuses a wrong setting or group before anything runs

    @property
    def test_classes(self) -> list[int]:
        """Class ids that this setting and group test."""
        if self.setting == 1:
            if self.use_gt:
                raise InputError(
                    "use_gt=true trains on classes that are not tested, but setting=1 tests all: "
                    "set setting=2"
                )
            return sorted(self.classes)
        if self.setting != 2:
            raise InputError(f"setting={self.setting} is neither 1 nor 2")
        if not self.test_groups:
            raise InputError(
                f"{self.name} has no data.test_groups, the groups of classes that setting=2 tests, "
                "one training for each: use setting=1, or name them, such as "
                f"data.test_groups=[[{min(self.classes, default=1)}]]"
            )
        if not 0 <= self.group < len(self.test_groups):
            raise InputError(
                f"{self.name} has {len(self.test_groups)} groups of test classes for setting=2, so "
                f"data.group={self.group} does not exist; they are set by data.test_groups"
            )
        return self.test_groups[self.group]

    @property
    def cases(self) -> list[Case]:
        """All cases in numeric order."""
        if self._cases is None:
            self._cases = find_cases(
                self.root,
                self.layout,
                computed_root=writable_root(self.root, self.cache_dir),
                exclude=self.exclude,
                n_cases=self.n_cases,
                how_to_get=self.how_to_get,
            )
        return self._cases

    @property
    def test_cases(self) -> list[Case]:
        """The cases of the fold, in its order."""
        by_id = {case.case_id: case for case in self.cases}
        if self.folds is None:
            ids = fold_cases(list(by_id), self.fold, n_folds=self.n_folds, order=self.fold_order)
        elif 0 <= self.fold < len(self.folds):
            ids = self.folds[self.fold]
        else:
            raise InputError(f"fold={self.fold} is out of range: data.folds has {len(self.folds)}")
        unknown = [case_id for case_id in ids if case_id not in by_id]
        if unknown:
            raise InputError(f"data.folds names cases that were not found: {unknown}")
        return [by_id[case_id] for case_id in ids]

    @property
    def train_cases(self) -> list[Case]:
        """The cases outside the fold."""
        tested = {case.case_id for case in self.test_cases}
        return [case for case in self.cases if case.case_id not in tested]

    def prepare_data(self) -> None:
        """Make the supervoxels that training lacks, with a progress bar."""
        make_up_to_date(self.train_cases, self.supervoxels)

    def episode_source(self) -> EpisodeSource:
        """What episodes may take from this data set."""
        setting2 = self.setting == 2
        others = sorted(set(self.classes) - set(self.test_classes))
        return EpisodeSource(
            name=self.name,
            volumes=VolumeCache(
                self.train_cases,
                self.cache_dir / self.name,
                self.image_size,
                self.label_values,
                self.check_geometry,
            ),
            test_classes=self.test_classes if setting2 else (),
            exclusion=self.exclusion,
            true_classes=others if self.use_gt else (),
            held_out_fraction=self.held_out_fraction if self.n_validation_episodes else 0.0,
            min_area=self.min_area,
        )

    def episodes(self, *, validation: bool = False) -> EpisodeDataset:
        """The training episodes, or the validation episodes, which are not augmented."""
        return EpisodeDataset(
            sources=self.sources(),
            seed=self.seed,
            n_episodes=self.n_validation_episodes if validation else self.n_episodes,
            n_shot=self.n_shot,
            n_query=self.n_query,
            augmentation=None if validation else self.augmentation,
            validation=validation,
        )

    def sources(self) -> list[EpisodeSource]:
        """The data sets that episodes come from: this one."""
        return [self.episode_source()]

    def train_dataloader(self) -> EpisodeLoader:
        """Batches of training episodes, from the first one not yet trained on."""
        dataset = self.episodes()
        trainer = self.trainer
        rank, n_processes = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        in_a_step = self.batch_size * n_processes
        if self.n_episodes < in_a_step:
            raise InputError(
                f"data.n_episodes={self.n_episodes} is fewer than the {in_a_step} episodes of one "
                f"step (data.batch_size={self.batch_size}, processes: {n_processes}): raise it"
            )
        sampler = EpisodeSampler(dataset, self._n_consumed, rank=rank, num_replicas=n_processes)
        return self._loader(dataset, sampler=sampler, drop_last=True)

    def val_dataloader(self) -> EpisodeLoader | list[EpisodeLoader]:
        """Batches of validation episodes: held-out supervoxels of the training volumes.

        No test case and no organ is looked at.
        """
        if not self.n_validation_episodes:
            return []
        return self._loader(self.episodes(validation=True), shuffle=False)

    def evaluation_plan(self) -> list[tuple[Case, dict[int, Sequence[Case]]]]:
        """The fold's query cases, each with the support cases of every class it is tested on.

        A class is tested on the cases of the fold that hold it, except its support volumes.

        Raises:
            InputError: If the data set has no labels, or too few cases hold a class.
        """
        holders = {class_id: self._holders(class_id) for class_id in self.test_classes}
        plan: list[tuple[Case, dict[int, Sequence[Case]]]] = []
        for query in self.test_cases:
            supports = {
                class_id: supports_of(query, cases, rule=self.support, n_shot=self.n_shot)
                for class_id, cases in holders.items()
                if query in cases
            }
            chosen: dict[int, Sequence[Case]] = {c: cases for c, cases in supports.items() if cases}
            if chosen:
                plan.append((query, chosen))
        return plan

    def evaluation_cases(self) -> Iterator[EvaluationCase]:
        """The volumes of :meth:`evaluation_plan` one by one, in the files' geometry, z-scored."""
        for query, supports in self.evaluation_plan():
            volumes = {
                class_id: tuple(self.volume(case) for case in cases)
                for class_id, cases in supports.items()
            }
            yield EvaluationCase(query=self.volume(query), supports=volumes)

    def volume(self, case: Case) -> Volume:
        """A case's volume, z-scored, with its label; the last few stay in memory."""
        return _volume(case, tuple(self.label_values.items()), self.check_geometry)

    def _holders(self, class_id: int) -> list[Case]:
        held = [case for case in self.test_cases if class_id in _present(self, case)]
        if len(held) <= self.n_shot:
            raise InputError(
                f"{self.name}: class {class_id} ({self.classes[class_id]}) is in {len(held)} cases "
                f"of fold {self.fold}, too few for data.n_shot={self.n_shot} supports and a query: "
                "lower data.n_shot or data.n_folds, or train alone with evaluate=false"
            )
        return held

    def _n_consumed(self) -> int:
        if self.trainer is None:
            return 0
        per_step = self.batch_size * self.trainer.world_size * self.trainer.accumulate_grad_batches
        return int(self.trainer.global_step) * per_step

    def _loader(self, dataset: EpisodeDataset, **kwargs: Any) -> EpisodeLoader:
        return EpisodeLoader(
            dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            **kwargs,
        )


def default_cache_dir() -> Path:
    """``$GMRD_CACHE``, or ``~/.cache/gmrd``."""
    return Path(os.environ.get("GMRD_CACHE") or Path.home() / ".cache" / "gmrd")


def _existing_root(name: str, root: str | Path | None, layout: Layout, how_to_get: str) -> Path:
    if root is None:
        raise InputError(
            f"data.root is not set: set data.root=/path/to/{name}, the folder that holds "
            f"{layout.images}. {how_to_get}".strip()
        )
    return Path(root).expanduser()


@lru_cache(maxsize=8)
def _volume(case: Case, label_values: tuple[tuple[int, int], ...], check: bool) -> Volume:
    return load_volume(case, label_values=dict(label_values), check_geometry=check)


@lru_cache(maxsize=512)
def _present_in(
    case: Case, label_values: tuple[tuple[int, int], ...], check: bool
) -> frozenset[int]:
    label = _volume(case, label_values, check).label
    return frozenset() if label is None else frozenset(np.unique(label).tolist())


def _present(data: EpisodeDataModule, case: Case) -> frozenset[int]:
    return _present_in(case, tuple(data.label_values.items()), data.check_geometry)
