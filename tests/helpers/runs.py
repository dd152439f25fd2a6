"""Folders of finished runs with known scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gmrd.evaluation.metrics import CaseScore
from gmrd.evaluation.scores import ScoredCase, write_scores

ABOUT = {
    "data": "chaost2", "trained_on": "chaost2", "setting": 1, "protocol": "chunks", "chunks": 3,
    "variant": "paper", "support": "last", "exclusion": "none", "group": 0, "fold": 0, "seed": 0,
}  # fmt: skip
SETTING_2: dict[str, object] = {"setting": 2, "exclusion": "any"}


def scored(organ: str, case: str, dice: float, hd95: float = 5.0) -> ScoredCase:
    score = CaseScore(dice, dice / (2 - dice), hd95, 1.0, 9.0, 3.0)
    return ScoredCase("GMRD", organ, case, ("9",), score)


def write_run(
    folder: Path,
    scores: list[ScoredCase],
    *,
    training: Mapping[str, object] | None = None,
    n_folds: int = 1,
    **about: object,
) -> None:
    """A run of a data set that has ``n_folds`` folds, trained as ``training`` says."""
    decided_by = {"training": training or {}, "scored": {"n_folds": n_folds}}
    write_scores(scores, folder, about={**ABOUT, **about}, decided_by=decided_by)
