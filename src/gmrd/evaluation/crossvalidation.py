"""Finished runs in one table: mean and standard deviation over folds and seeds, per organ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gmrd.errors import InputError
from gmrd.evaluation.published import published_dice
from gmrd.evaluation.scores import SCORE_AGAIN, SCORES, ScoredCase, mean_score, read_scores
from gmrd.io.json_file import read_json

SAME = (
    "data", "trained_on", "setting", "protocol", "chunks", "alignment", "adapt", "variant",
    "backbone", "pretrained", "steps", "support", "exclusion",
)  # fmt: skip
"""What all runs of a table must share, and its header states."""


@dataclass(frozen=True)
class FinishedRun:
    """A training's folder with the scores of a fold (in Setting 2, of one group of organs)."""

    folder: Path
    about: Mapping[str, Any]
    cases: Sequence[ScoredCase]
    decided_by: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def place(self) -> tuple[int, int]:
        """Seed and fold."""
        return int(self.about["seed"]), int(self.about["fold"])


@dataclass(frozen=True)
class Cell:
    """One score of one organ: mean and standard deviation over runs of each run's mean over cases.

    ``undefined`` counts cases without a defined score, for example a distance to an empty
    prediction; they are excluded from the mean.
    """

    mean: float
    sd: float
    n_runs: int
    undefined: int = 0


@dataclass(frozen=True)
class CrossValidation:
    """The table and its conditions."""

    about: Mapping[str, Any]
    cells: Mapping[str, Mapping[str, Cell]]
    published: Mapping[str, float]

    @property
    def organs(self) -> list[str]:
        """The columns: organs, then ``mean``."""
        return list(self.cells["dice"])

    @property
    def title(self) -> str:
        """The conditions in one line."""
        return ", ".join(f"{name} {value}" for name, value in self.about.items())


def find_runs(folder: Path, *, method: str = "GMRD") -> list[FinishedRun]:
    """All finished runs in ``folder``, sorted by seed, fold and group.

    Raises:
        InputError: there are none, or one's files are damaged.
    """
    found = [
        _read(path.parent, method)
        for path in sorted(folder.rglob("summary.json"))
        if (path.parent / "scores.csv").is_file()
    ]
    if not found:
        raise InputError(
            f"{folder} contains no finished run: no folder below it has the scores.csv and "
            "summary.json that gmrd-train and gmrd-evaluate write"
        )
    return sorted(found, key=lambda run: (*run.place, int(run.about.get("group", 0))))


def _read(folder: Path, method: str) -> FinishedRun:
    summary = read_json(folder / "summary.json", SCORE_AGAIN)
    cases = [case for case in read_scores(folder / "scores.csv") if case.method == method]
    try:
        run = FinishedRun(folder, summary["about"], cases, summary.get("decided_by", {}))
        _ = run.place
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{folder / 'summary.json'} is damaged: {SCORE_AGAIN}") from error
    return run


def cross_validate(runs: Sequence[FinishedRun]) -> CrossValidation:
    """Summarise runs that differ only in fold, seed and group.

    Raises:
        InputError: runs that cannot share a table, or two runs of the same fold.
    """
    _refuse_mixture(runs)
    places = sorted({run.place for run in runs})
    organs = list(dict.fromkeys(case.organ for run in runs for case in run.cases))
    by_place = {
        place: [case for run in runs if run.place == place for case in run.cases]
        for place in places
    }
    shared = {name: runs[0].about[name] for name in SAME if runs[0].about.get(name) is not None}
    about = shared | {
        "folds": _listed(fold for _, fold in places),
        "seeds": _listed(seed for seed, _ in places),
        "distinct scored cases": len({case.case_id for run in runs for case in run.cases}),
    }
    cells = {name: _row(name, organs, list(by_place.values())) for name in SCORES}
    published = _comparable(shared, organs) if _scored_all(runs) else {}
    return CrossValidation(about, cells, published)


def _scored_all(runs: Sequence[FinishedRun]) -> bool:
    """Whether all folds of the rule and all cases were scored, as for published figures.

    False for runs of older versions, which do not record it.
    """
    scored = runs[0].decided_by.get("scored", {})
    whole = not any(scored.get(name) for name in ("n_cases", "exclude", "folds"))
    return whole and {run.place[1] for run in runs} == set(range(scored.get("n_folds", 0)))


def _comparable(shared: Mapping[str, Any], organs: Sequence[str]) -> dict[str, float]:
    """Published Dice in per cent, only for the same data, and the mean only for the same organs."""
    if shared.get("trained_on") != shared["data"]:
        return {}
    published = dict(published_dice(str(shared["data"]), int(shared["setting"])))
    if not published.keys() - {"mean"} <= set(organs):
        published.pop("mean", None)
    return published


def _row(name: str, organs: list[str], places: list[list[ScoredCase]]) -> dict[str, Cell]:
    """One score for every organ, and its mean over the organs where all were scored."""
    by_organ = {
        organ: [[case for case in cases if case.organ == organ] for cases in places]
        for organ in organs
    }
    means = {o: [mean_score(cases, name) for cases in found] for o, found in by_organ.items()}
    undefined = {
        organ: sum(bool(np.isnan(getattr(c.score, name))) for cases in found for c in cases)
        for organ, found in by_organ.items()
    }
    cells = {organ: _cell(values, undefined[organ]) for organ, values in means.items()}
    overall = np.mean(list(means.values()), axis=0)  # nan where an organ is missing
    return cells | {"mean": _cell(overall, sum(undefined.values()))}


def _cell(values: Iterable[float], undefined: int) -> Cell:
    known = np.array([value for value in values if not np.isnan(value)])
    if not known.size:
        return Cell(float("nan"), float("nan"), 0, undefined)
    sd = float(known.std(ddof=1)) if known.size > 1 else float("nan")
    return Cell(float(known.mean()), sd, int(known.size), undefined)


def _listed(values: Iterable[int]) -> str:
    return " ".join(str(value) for value in sorted(set(values)))


def _refuse_mixture(runs: Sequence[FinishedRun]) -> None:
    first, seen = runs[0], dict[tuple[int, int, int], Path]()
    for run in runs:
        theirs, ours = _conditions(first), _conditions(run)
        for name in {**theirs, **ours}:
            if ours.get(name) != theirs.get(name):
                raise InputError(
                    f"{run.folder} has {name}={ours.get(name)} and {first.folder} has "
                    f"{name}={theirs.get(name)}: they cannot share a table; give a "
                    "folder with comparable runs"
                )
        key = (*run.place, int(run.about.get("group", 0)))
        if key in seen:
            raise InputError(
                f"{run.folder} and {seen[key]} both have seed {key[0]}, fold {key[1]}: "
                "move one away"
            )
        seen[key] = run.folder


def _conditions(run: FinishedRun) -> dict[str, Any]:
    """All that must be equal within a table: first what its header states, then the rest."""
    named = {name: run.about.get(name) for name in SAME}
    return named | {key: value for part in run.decided_by.values() for key, value in part.items()}
