"""Description of a data set, independent of its use: files, classes, folds, preparation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from gmrd.data.cases import Case, Layout, find_cases
from gmrd.data.prepare.settings import Preparation
from gmrd.data.protocol import FoldOrder, fold_cases
from gmrd.data.supervoxel_files import Supervoxels, writable_root
from gmrd.data.volume import Intensities, Volume, load_volume
from gmrd.errors import InputError
from gmrd.io.cache_dir import default_cache_dir
from gmrd.values.kinds import Count


@dataclass(frozen=True, kw_only=True)
class DatasetDescription:
    """The files, classes and folds of a data set, from its YAML file.

    Attributes:
        name: Name of the data set.
        root: Folder that holds it.
        layout: Paths of images, labels and supervoxels, relative to the root.
        classes: Name of every class by its id in the labels.
        test_groups: The groups of classes that Setting 2 tests, one training for each.
        label_values: Class id of each value in the label files, where the two differ.
        supervoxels: Settings of supervoxels that are missing, see ``gmrd-supervoxels``.
        how_to_get: Sentence on where the data comes from, shown when it is missing.
        n_folds: Number of folds.
        fold_order: ``shared_last`` or ``sorted``, see :func:`gmrd.data.protocol.fold_cases`.
        folds: The folds' case ids, instead of the rule.
        n_cases: Use only the first cases.
        exclude: Ids of cases to leave out.
        cache_dir: Folder for prepared arrays.
        check_geometry: Refuse labels that are not in the place of their image.
        intensity: ``z_score`` or ``ranks``, see :func:`gmrd.data.volume.load_volume`.
        preparation: What ``gmrd-prepare`` does; None for data prepared by other means.
    """

    name: str
    root: Path
    layout: Layout
    classes: Mapping[int, str]
    test_groups: Sequence[Sequence[int]] = ()
    label_values: Mapping[int, int] = field(default_factory=dict)
    supervoxels: Supervoxels = field(default_factory=Supervoxels)
    how_to_get: str = ""
    n_folds: Count = 5
    fold_order: FoldOrder = "shared_last"
    folds: Sequence[Sequence[str]] | None = None
    n_cases: Count | None = None
    exclude: Sequence[str | int] = ()
    cache_dir: Path = field(default_factory=default_cache_dir)
    check_geometry: bool = True
    intensity: Literal["z_score", "ranks"] = "z_score"
    preparation: Preparation | None = None

    def __post_init__(self) -> None:
        names = Counter(name.replace(" ", "_") for name in self.classes.values())
        if twice := [name for name, number in names.items() if number > 1]:
            raise InputError(
                f"data.classes names more than one class {twice[0]}: scores and predictions are "
                "kept by name, so each needs its own"
            )

    @cached_property
    def cases(self) -> list[Case]:
        """All cases in numeric order.

        Raises:
            InputError: If there are none, or one lacks its label.
        """
        return find_cases(
            self.root,
            self.layout,
            computed_root=writable_root(self.root, self.cache_dir),
            exclude=self.exclude,
            n_cases=self.n_cases,
            how_to_get=self.how_to_get,
        )

    def fold(self, number: int) -> list[Case]:
        """The cases of a fold, in its order.

        Raises:
            InputError: If there is no such fold, or it names a case that does not exist.
        """
        by_id = {case.case_id: case for case in self.cases}
        if self.folds is None:
            ids = fold_cases(list(by_id), number, n_folds=self.n_folds, order=self.fold_order)
        elif 0 <= number < len(self.folds):
            ids = list(self.folds[number])
        else:
            raise InputError(f"fold={number} is out of range: data.folds has {len(self.folds)}")
        unknown = [case_id for case_id in ids if case_id not in by_id]
        if unknown:
            raise InputError(f"data.folds names cases that were not found: {unknown}")
        return [by_id[case_id] for case_id in ids]

    def volume(self, case: Case) -> Volume:
        """A case's volume, standardised, with its label; the last few stay in memory."""
        return _volume(case, *self._how_read)

    def classes_in(self, case: Case) -> frozenset[int]:
        """The values of a case's label; none where it has no label."""
        return _present(case, *self._how_read)

    @property
    def _how_read(self) -> tuple[tuple[tuple[int, int], ...], bool, Intensities]:
        return tuple(self.label_values.items()), self.check_geometry, self.intensity


@lru_cache(maxsize=8)
def _volume(
    case: Case, label_values: tuple[tuple[int, int], ...], check: bool, intensity: Intensities
) -> Volume:
    return load_volume(
        case, label_values=dict(label_values), check_geometry=check, intensity=intensity
    )


@lru_cache(maxsize=512)
def _present(
    case: Case, label_values: tuple[tuple[int, int], ...], check: bool, intensity: Intensities
) -> frozenset[int]:
    label = _volume(case, label_values, check, intensity).label
    return frozenset() if label is None else frozenset(np.unique(label).tolist())
