"""The protocol's facts, against counts taken once from the real CHAOST2 files."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmrd.data.cases import Layout, find_cases
from gmrd.data.protocol import (
    excluded_slices,
    fold_cases,
    numeric_key,
    query_chunks,
    support_slices,
    supports_of,
)
from gmrd.data.volume import load_volume
from gmrd.errors import InputError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "protocol_chaost2.json").read_text())
IDS = [str(case) for case in GOLDEN["case_ids_sorted_numerically"]]
FOLDER = "chaos_MR_T2_normalized"
SUPPORT_KEY, CHUNK_KEY = "support_slices_z_for_3_chunks", "query_chunk_bounds_for_3_chunks"
ORGANS = [
    pytest.param(organ, id=f"{case}-{name}")
    for case, organs in GOLDEN["organ_extent_by_case_id"].items()
    for name, organ in organs.items()
]


@pytest.mark.parametrize("fold", range(5))
def test_folds_equal_the_published_ones(fold: int) -> None:
    expected = [str(case) for case in GOLDEN["folds_as_case_ids"][str(fold)]]
    assert fold_cases(list(reversed(IDS)), fold) == expected
    assert fold_cases(IDS, fold, order="sorted") == sorted(expected, key=int)


@pytest.mark.parametrize(
    ("n", "last_fold"),
    [(20, [16, 17, 18, 19, 0]), (30, [24, 25, 26, 27, 28, 29, 0]), (35, [*range(28, 35), 0])],
)
def test_fold_positions_of_each_data_set(n: int, last_fold: list[int]) -> None:
    ids = [str(position) for position in range(n)]
    assert fold_cases(ids, 4) == [str(position) for position in last_fold]
    assert fold_cases(ids, 1) == [str(p) for p in range(n // 5, 2 * n // 5 + 1)]


@given(st.integers(5, 60))
def test_last_support_makes_every_case_a_query_once(n: int) -> None:
    ids = [f"case{position}" for position in range(n)]
    queries = [
        case
        for fold in range(5)
        for members in [fold_cases(ids, fold)]
        for case in members
        if supports_of(case, members, rule="last")
    ]
    assert sorted(queries, key=numeric_key) == ids


def test_support_index_two_leaves_five_cases_out() -> None:
    queries = {
        case
        for fold in range(5)
        for members in [fold_cases(IDS, fold, order="sorted")]
        for case in members
        if supports_of(case, members, rule=2)
    }
    assert len(queries) == 15


@given(st.integers(2, 8), st.integers(1, 3))
def test_rotate_makes_every_case_a_query_with_other_supports(n: int, n_shot: int) -> None:
    members = [str(case) for case in range(n)]
    if n <= n_shot:
        with pytest.raises(InputError, match="n_shot"):
            supports_of("0", members, rule="rotate", n_shot=n_shot)
        return
    for case in members:
        supports = supports_of(case, members, rule="rotate", n_shot=n_shot)
        assert len(set(supports)) == n_shot
        assert case not in supports


@pytest.mark.parametrize(("rule", "n_shot", "supports"), [("last", 2, "de"), (1, 2, "bc")])
def test_shots(rule: str | int, n_shot: int, supports: str) -> None:
    assert supports_of("a", list("abcde"), rule=rule, n_shot=n_shot) == list(supports)


@pytest.mark.parametrize("rule", [5, -1])
def test_a_support_that_does_not_exist_is_refused(rule: int) -> None:
    with pytest.raises(InputError, match=r"data\.support="):
        supports_of("a", list("abcde"), rule=rule)


@pytest.mark.parametrize(("fold", "ids"), [(5, IDS), (-1, IDS), (0, IDS[:3])])
def test_impossible_fold_is_refused(fold: int, ids: list[str]) -> None:
    with pytest.raises(InputError, match="fold"):
        fold_cases(ids, fold)


@pytest.mark.parametrize("organ", ORGANS)
def test_chunks_from_extents(organ: dict[str, object]) -> None:
    first, last, n = (int(organ[k]) for k in ("first", "last", "n_slices"))  # type: ignore[call-overload]
    if n != last - first + 1:
        pytest.skip("slices with a gap: checked on the real volumes")
    mask = np.zeros((last + 3, 2, 2), dtype=bool)
    mask[first : last + 1, 0, 1] = True
    assert support_slices(mask) == organ[SUPPORT_KEY]
    bounds = organ[CHUNK_KEY]
    assert isinstance(bounds, list)
    expected = [list(range(first + a, first + b)) for a, b in itertools.pairwise(bounds)]
    assert query_chunks(mask) == expected


@given(st.sets(st.integers(0, 40), min_size=1), st.integers(1, 5))
def test_chunks_cover_every_slice_once(slices: set[int], n_chunks: int) -> None:
    mask = np.zeros((41, 1, 1), dtype=bool)
    mask[sorted(slices)] = True
    chunks = query_chunks(mask, n_chunks)
    assert len(chunks) == n_chunks
    assert [z for chunk in chunks for z in chunk] == sorted(slices)
    assert set(support_slices(mask, n_chunks)) <= slices


def test_empty_class_has_no_chunks() -> None:
    with pytest.raises(InputError, match="no slice"):
        support_slices(np.zeros((3, 2, 2), dtype=bool))


def test_exclusion_rules() -> None:
    presence = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]], dtype=bool)
    assert excluded_slices(presence, [1, 2], "any").tolist() == [False, True, True, False]
    assert excluded_slices(presence, [1, 2], "all").tolist() == [False, False, True, False]
    assert excluded_slices(presence, [1, 7], "all").tolist() == [False] * 4


def test_facts_of_the_real_volumes(chaost2: Path) -> None:
    cases = find_cases(
        chaost2,
        Layout(
            f"{FOLDER}/image_{{case}}.nii.gz",
            f"{FOLDER}/label_{{case}}.nii.gz",
            "supervoxels/{case}.nii.gz",
        ),
    )
    assert [case.case_id for case in cases] == IDS
    presence = []
    for case in cases:
        label = load_volume(case).label
        assert label is not None
        shown = [(label == c).any(axis=(1, 2)) for c in range(5)]
        presence.append(np.stack(shown, axis=1))
        for class_id, organ in enumerate(
            GOLDEN["organ_extent_by_case_id"][case.case_id].values(), start=1
        ):
            mask = label == class_id
            assert int(mask.sum()) == organ["voxels"]
            assert support_slices(mask) == organ[SUPPORT_KEY]
            sizes = [len(chunk) for chunk in query_chunks(mask)]
            assert np.cumsum([0, *sizes]).tolist() == organ[CHUNK_KEY]
    everything = np.concatenate(presence)
    assert len(everything) == GOLDEN["slices_total"]
    for key, count in GOLDEN["slices_excluded"].items():
        rule, classes = key[:3], json.loads(key[3:])
        assert int(excluded_slices(everything, classes, rule).sum()) == count
