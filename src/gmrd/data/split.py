"""Division of a data set into training and test parts, by the protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from gmrd.data.cases import Case
from gmrd.data.description import DatasetDescription
from gmrd.data.protocol import ExclusionRule, SupportRule, supports_of
from gmrd.data.volume import Volume
from gmrd.errors import InputError
from gmrd.values.arguments import refuse_wrong_fields
from gmrd.values.kinds import Count, Natural


@dataclass(frozen=True, kw_only=True)
class ProtocolChoice:
    """One combination of the protocol's options.

    Attributes:
        fold: Number of the fold that is tested, from 0.
        setting: 1, or 2 to train without the slices that show a class of the test group.
        group: Which of the data set's ``test_groups`` Setting 2 tests.
        exclusion: ``any`` or ``all``, see :func:`gmrd.data.protocol.excluded_slices`.
        use_gt: Train on the true labels of the classes that are not tested (Setting 2).
        support: ``last``, an index or ``rotate``, see :func:`gmrd.data.protocol.supports_of`.
        n_shot: Support slices of an episode, and support volumes of a test case.
    """

    fold: Natural = 0
    setting: Literal[1, 2] = 1
    group: Natural = 0
    exclusion: ExclusionRule = "any"
    use_gt: bool = False
    support: SupportRule = "last"
    n_shot: Count = 1

    def __post_init__(self) -> None:
        refuse_wrong_fields("data", self)
        if self.setting == 1 and self.use_gt:
            raise InputError(
                "use_gt=true trains on classes that are not tested, but setting=1 tests all: "
                "set setting=2"
            )


@dataclass(frozen=True)
class EvaluationCase:
    """A query volume of the fold with the support volumes of every class it is tested on.

    Attributes:
        query: The volume to segment, with its label.
        supports: For every class id the ``n_shot`` support volumes, with their labels.
    """

    query: Volume
    supports: Mapping[int, tuple[Volume, ...]]


@dataclass(frozen=True)
class Split:
    """A data set's cases and classes, divided into training and test.

    Raises:
        InputError: If the data set lacks the chosen group.
    """

    data: DatasetDescription
    choice: ProtocolChoice = field(default_factory=ProtocolChoice)

    def __post_init__(self) -> None:
        self.test_classes  # noqa: B018 - refuses a wrong group before anything runs

    def reading(self, intensity: Literal["z_score", "ranks"]) -> Split:
        """The same split with intensities standardised as a network's training had them."""
        return replace(self, data=replace(self.data, intensity=intensity))

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.data.name

    @property
    def classes(self) -> Mapping[int, str]:
        """Name of every class by its id in the labels."""
        return self.data.classes

    @property
    def test_classes(self) -> list[int]:
        """Class ids that this setting and group test."""
        data, group = self.data, self.choice.group
        if self.choice.setting == 1:
            return sorted(data.classes)
        if not data.test_groups:
            raise InputError(
                f"{data.name} has no data.test_groups, the groups of classes that setting=2 tests, "
                "one training for each: use setting=1, or name them, such as "
                f"data.test_groups=[[{min(data.classes, default=1)}]]"
            )
        if not 0 <= group < len(data.test_groups):
            raise InputError(
                f"{data.name} has {len(data.test_groups)} groups of test classes for setting=2, so "
                f"data.group={group} does not exist; they are set by data.test_groups"
            )
        return list(data.test_groups[group])

    @property
    def test_cases(self) -> list[Case]:
        """The cases of the fold, in its order."""
        return self.data.fold(self.choice.fold)

    @property
    def train_cases(self) -> list[Case]:
        """The cases outside the fold."""
        tested = {case.case_id for case in self.test_cases}
        return [case for case in self.data.cases if case.case_id not in tested]

    def evaluation_plan(self) -> list[tuple[Case, dict[int, Sequence[Case]]]]:
        """The fold's query cases, each with the support cases of every class it is tested on.

        A class is tested on the fold's cases that contain it, except its support volumes.

        Raises:
            InputError: If the data set has no labels, or too few cases hold a class.
        """
        rule, n_shot = self.choice.support, self.choice.n_shot
        holders = {class_id: self._holders(class_id) for class_id in self.test_classes}
        plan: list[tuple[Case, dict[int, Sequence[Case]]]] = []
        for query in self.test_cases:
            supports = {
                class_id: supports_of(query, cases, rule=rule, n_shot=n_shot)
                for class_id, cases in holders.items()
                if query in cases
            }
            chosen: dict[int, Sequence[Case]] = {c: cases for c, cases in supports.items() if cases}
            if chosen:
                plan.append((query, chosen))
        return plan

    def evaluation_cases(self) -> Iterator[EvaluationCase]:
        """The volumes of :meth:`evaluation_plan` one by one, in the files' geometry."""
        for query, supports in self.evaluation_plan():
            volumes = {
                class_id: tuple(self.data.volume(case) for case in cases)
                for class_id, cases in supports.items()
            }
            yield EvaluationCase(query=self.data.volume(query), supports=volumes)

    def _holders(self, class_id: int) -> list[Case]:
        data, n_shot = self.data, self.choice.n_shot
        held = [case for case in self.test_cases if class_id in data.classes_in(case)]
        if len(held) <= n_shot:
            raise InputError(
                f"{data.name}: class {class_id} ({data.classes[class_id]}) is in {len(held)} cases "
                f"of fold {self.choice.fold}, too few for data.n_shot={n_shot} supports and a "
                "query: lower data.n_shot or data.n_folds, or only train with evaluate=false"
            )
        return held
