"""The standard protocol of few-shot segmentation of medical volumes, as pure functions.

Five folds that overlap by one case; three support slices for three query chunks; and "Setting 2",
which removes from training every slice that shows a test class. Cases are named by id and sorted
numerically. This follows Roy et al. (Squeeze & Excite, 2020) and Ouyang et al. (self-supervised
ALPNet, ECCV 2020), like the GMRD paper (section IV-A).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Integer

from gmrd.errors import InputError
from gmrd.values.kinds import Formerly, Natural

FoldOrder = Annotated[Literal["shared_last", "sorted"], Formerly(("published", "ordered"))]
ExclusionRule = Literal["any", "all"]
SupportRule = Literal["last", "rotate"] | Natural
T = TypeVar("T")


def numeric_key(case_id: str) -> tuple[tuple[int, int, str], ...]:
    """Sorting key that puts ``"9"`` before ``"10"`` and ``"case9b"`` before ``"case10a"``."""
    parts = re.findall(r"\d+|\D+", case_id)
    return tuple((0, int(p), p) if p.isdigit() else (1, 0, p) for p in parts)


def fold_cases(
    case_ids: Sequence[str], fold: int, *, n_folds: int = 5, order: FoldOrder = "shared_last"
) -> list[str]:
    """The cases of a fold: a run of the sorted cases that ends with the next fold's first case.

    With 20 cases and 5 folds these are positions 0–4, 4–8, 8–12, 12–16 and 16–19 with 0. With the
    last case as the support, every case is then a query exactly once.

    Args:
        case_ids: All cases, in any order.
        fold: Number of the fold, from 0.
        n_folds: How many folds there are.
        order: ``shared_last`` keeps the shared case last; ``sorted`` sorts the members, as loaders
            that filter the sorted list do. That puts the shared case of the last fold first, so
            an index names another support there.

    Raises:
        InputError: If the fold is out of range or there are fewer cases than folds.
    """
    ids = sorted(case_ids, key=numeric_key)
    if not 0 <= fold < n_folds:
        raise InputError(f"fold={fold} is out of range: choose 0 to {n_folds - 1}")
    if len(ids) < max(n_folds, 2):
        raise InputError(
            f"{len(ids)} cases cannot make {n_folds} folds: add cases or set data.n_folds lower"
        )
    if n_folds == 1:
        return ids
    first, last = fold * len(ids) // n_folds, (fold + 1) * len(ids) // n_folds
    members = [ids[position % len(ids)] for position in range(first, last + 1)]
    return sorted(members, key=numeric_key) if order == "sorted" else members


def supports_of(
    query: T, candidates: Sequence[T], *, rule: SupportRule, n_shot: int = 1
) -> list[T]:
    """The support cases of a query, or nothing when the query itself is a support.

    Args:
        query: One of the candidates.
        candidates: The fold's cases that hold the class, in the fold's order.
        rule: ``last`` takes the last ``n_shot`` cases; an index takes ``n_shot`` cases from there
            on; ``rotate`` takes the ``n_shot`` cases that follow the query, so every case is
            a query. All wrap around at the end of the list.
        n_shot: Number of support cases.

    Raises:
        InputError: If the index is out of range, or there are too few cases.
    """
    n = len(candidates)
    if n <= n_shot:
        raise InputError(
            f"{n} cases of this fold contain the class, too few for n_shot={n_shot} and a "
            "query: lower n_shot or n_folds"
        )
    if rule == "rotate":
        start = candidates.index(query) + 1
    elif rule == "last":
        start = n - n_shot
    elif 0 <= rule < n:
        start = rule
    else:
        raise InputError(f"data.support={rule} is none of last, rotate and an index below {n}")
    chosen = [candidates[(start + shot) % n] for shot in range(n_shot)]
    return [] if query in chosen else chosen


def slices_of(mask: Bool[np.ndarray, "z y x"]) -> Integer[np.ndarray, " slices"]:
    """Axial slices that intersect a mask, in order."""
    return np.flatnonzero(mask.any(axis=(1, 2)))


def support_slices(mask: Bool[np.ndarray, "z y x"], n_chunks: int = 3) -> list[int]:
    """The support slices: the middle ones of ``n_chunks`` equal parts of the class's slices.

    For three chunks these are the fractions 1/6, 1/2 and 5/6, rounded down.
    """
    z = slices_of(mask)
    _need_slices(len(z))
    return [int(z[(2 * chunk + 1) * len(z) // (2 * n_chunks)]) for chunk in range(n_chunks)]


def query_chunks(mask: Bool[np.ndarray, "z y x"], n_chunks: int = 3) -> list[list[int]]:
    """The class's slices, divided into ``n_chunks`` parts, each to be predicted with one support.

    A class with fewer slices than chunks leaves some chunks empty.
    """
    z = slices_of(mask)
    _need_slices(len(z))
    bounds = [chunk * len(z) // n_chunks for chunk in range(n_chunks + 1)]
    return [z[a:b].tolist() for a, b in pairwise(bounds)]


def _need_slices(n: int) -> None:
    if n == 0:
        raise InputError("no slice contains the class: the case can be neither support nor query")


def excluded_slices(
    presence: Bool[np.ndarray, "z classes"], test_classes: Sequence[int], rule: ExclusionRule
) -> Bool[np.ndarray, " z"]:
    """Slices that Setting 2 removes from training.

    Args:
        presence: Whether slice z holds class c; column c is class id c.
        test_classes: Class ids that are tested.
        rule: ``any`` removes slices with any of the test classes, as the setting is defined
            (ALPNet); ``all`` only slices with all of them, as in several public codes, which leaves
            test organs in training.
    """
    shown = np.zeros((len(presence), len(test_classes)), dtype=bool)
    for column, class_id in enumerate(test_classes):
        if class_id < presence.shape[1]:
            shown[:, column] = presence[:, class_id]
    if rule not in ("any", "all"):
        raise InputError(f"exclusion={rule!r} is neither any nor all")
    return np.asarray(shown.any(axis=1) if rule == "any" else shown.all(axis=1))
