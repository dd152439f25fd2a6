"""The table over folds and seeds, its files and its page, from runs with known scores."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gmrd.errors import InputError
from gmrd.evaluation.crossvalidation import Cell, cross_validate, find_runs
from gmrd.evaluation.panels import cases_figure, panel, ranked
from gmrd.evaluation.report import write_page
from gmrd.evaluation.scores import read_scores
from gmrd.evaluation.tables import cell_text, markdown, write_tables
from gmrd.training.remember import deciding
from helpers.commands import composed
from helpers.files import csv_rows
from helpers.runs import SETTING_2, scored, write_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two folds: liver 0.8 and 0.6 on average, spleen 0.5 and 0.7; one HD95 undefined."""
    write_run(
        tmp_path / "a",
        [
            scored("liver", "1", 0.9),
            scored("liver", "2", 0.7, float("nan")),
            scored("spleen", "1", 0.5),
        ],
        n_folds=2,
    )  # fmt: skip
    second = [scored("liver", "3", 0.6), scored("spleen", "3", 0.7)]
    write_run(tmp_path / "b", second, fold=1, n_folds=2)
    return tmp_path


def test_scores_are_read_back_as_they_were(tmp_path: Path) -> None:
    scores = [scored("liver", "1", 0.9), scored("spleen", "2", 0.1)]
    write_run(tmp_path, scores)
    assert read_scores(tmp_path / "scores.csv") == scores


def test_the_published_mean_is_no_match_for_some_of_the_organs(tmp_path: Path) -> None:
    every = ["liver", "right_kidney", "left_kidney", "spleen"]
    write_run(tmp_path / "all", [scored(organ, "1", 0.8) for organ in every])
    write_run(tmp_path / "some", [scored(organ, "1", 0.8) for organ in every[:2]])
    assert cross_validate(find_runs(tmp_path / "all")).published["mean"] == 82.90
    assert "mean" not in cross_validate(find_runs(tmp_path / "some")).published


def test_mean_and_sd_are_over_runs(runs: Path) -> None:
    result = cross_validate(find_runs(runs))
    liver, mean = result.cells["dice"]["liver"], result.cells["dice"]["mean"]
    assert liver.mean == pytest.approx(0.7)
    assert liver.sd == pytest.approx(np.std([0.8, 0.6], ddof=1))
    assert (liver.n_runs, liver.undefined) == (2, 0)
    assert mean.mean == pytest.approx(0.65)
    assert mean.sd == pytest.approx(0.0, abs=1e-12)
    assert result.cells["hd95"]["liver"].undefined == 1
    assert result.published["liver"] == 81.42
    assert result.about["distinct scored cases"] == 3
    assert result.about["folds"] == "0 1"
    assert result.about["exclusion"] == "none"


def test_setting_2_joins_its_groups(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [scored("liver", "1", 0.8)], **SETTING_2, group=0, n_folds=2)
    write_run(tmp_path / "b", [scored("left_kidney", "1", 0.6)], **SETTING_2, group=1, n_folds=2)
    write_run(tmp_path / "c", [scored("liver", "2", 0.4)], **SETTING_2, group=0, fold=1, n_folds=2)
    result = cross_validate(find_runs(tmp_path))
    assert result.cells["dice"]["liver"].n_runs == 2
    assert result.cells["dice"]["mean"].n_runs == 1, "fold 1 lacks an organ"
    assert result.cells["dice"]["mean"].mean == pytest.approx(0.7)
    assert result.about["exclusion"] == "any"
    assert result.published == {
        "liver": 80.25,
        "right_kidney": 86.66,
        "left_kidney": 78.65,
        "spleen": 73.25,
    }


@pytest.mark.parametrize("trained_on", ["sabs", None])
def test_nothing_published_for_other_or_unknown_training_data(
    runs: Path, trained_on: str | None
) -> None:
    write_run(runs / "c" / "d", [scored("liver", "1", 0.8)], trained_on=trained_on)
    assert not cross_validate(find_runs(runs / "c")).published


@pytest.mark.parametrize(
    ("about", "message"),
    [({"fold": 2, "variant": "head"}, "variant=head"), ({"fold": 1}, "both have seed 0, fold 1")],
)
def test_runs_that_do_not_belong_together(
    runs: Path, about: dict[str, object], message: str
) -> None:
    write_run(runs / "c", [scored("liver", "5", 0.8)], n_folds=2, **about)
    with pytest.raises(InputError, match=message):
        cross_validate(find_runs(runs))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"backbone": "resnet50"}, "backbone=resnet50"),
        ({"pretrained": "imagenet"}, "pretrained=imagenet"),
        ({"steps": "500 of 36000"}, "steps=500 of 36000"),
        ({"alignment": "features"}, "alignment=features"),
        ({"adapt": 300}, "adapt=300"),
        ({"training": {"model.network.boundary": "ring"}}, "model.network.boundary=ring"),
        (
            {"training": {"model.network.boundary": "published", "data.min_area": 100}},
            "data.min_area=100",
        ),
        (
            {
                "training": {
                    "model.network.boundary": "published",
                    "data.min_area": 200,
                    "trainer.overfit_batches": 1,
                }
            },
            "trainer.overfit_batches=1",
        ),
        ({"n_folds": 3}, "n_folds=3"),
    ],
)
def test_a_table_is_of_one_kind_of_training_and_of_one_way_to_score(
    tmp_path: Path, other: dict[str, Any], message: str
) -> None:
    kind: dict[str, Any] = {
        "backbone": "resnet101", "pretrained": "none", "steps": "36000", "n_folds": 2,
        "alignment": "none", "adapt": 0,
        "training": {"model.network.boundary": "published", "data.min_area": 200},
    }  # fmt: skip
    write_run(tmp_path / "a", [scored("liver", "1", 0.8)], **kind)
    write_run(tmp_path / "b", [scored("liver", "2", 0.8)], **(kind | other), fold=1)
    with pytest.raises(InputError, match=message):
        cross_validate(find_runs(tmp_path))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (("~data.joined",), r"data\.joined"),
        (("data.joined.sabs.exclude=[1]",), r"data\.joined\.sabs\.exclude=\[1\]"),
        (
            ("data.joined.sabs.supervoxels.min_size=9",),
            r"data\.joined\.sabs\.supervoxels\.min_size",
        ),
    ],
)
def test_a_table_does_not_mix_joined_data_sets(
    tmp_path: Path, other: tuple[str, ...], message: str
) -> None:
    """All are trained on CHAOST2 by name; what was joined to it stands in the settings alone."""
    for fold, overrides in enumerate([(), other]):
        joined = ("data=chaost2_with_sabs", "data.root=mri", "data.joined.sabs.root=ct")
        training = deciding(composed("train", *joined, *overrides))
        write_run(
            tmp_path / str(fold), [scored("liver", str(fold), 0.8)],
            training=training, n_folds=2, fold=fold,
        )  # fmt: skip
    with pytest.raises(InputError, match=message):
        cross_validate(find_runs(tmp_path))


def test_nothing_published_beside_some_of_the_folds_or_cases(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [scored("liver", "1", 0.8)], n_folds=2)
    assert not cross_validate(find_runs(tmp_path)).published, "fold 1 was not scored"
    write_run(tmp_path / "b", [scored("liver", "2", 0.8)], n_folds=2, fold=1)
    runs = find_runs(tmp_path)
    assert cross_validate(runs).published["liver"] == 81.42
    for fewer in ({"n_cases": 9}, {"exclude": ["3"]}, {"folds": [["1", "2"], ["3"]]}):
        changed = [replace(run, decided_by={"scored": {"n_folds": 2} | fewer}) for run in runs]
        assert not cross_validate(changed).published
    untold = [replace(run, decided_by={}) for run in runs]
    assert not cross_validate(untold).published, "an older version does not say"


def test_a_score_that_no_case_has_says_of_how_many() -> None:
    nothing = Cell(float("nan"), float("nan"), 0, undefined=8)
    assert cell_text(nothing, 1.0) == "– (8 undefined)"


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run"):
        find_runs(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("summary.json", b"{"),
        ("summary.json", b"[]"),
        ("summary.json", b'{"about": {"seed": "x", "fold": 1}}'),
        ("summary.json", b'{"about": 3}'),
        ("scores.csv", b"method,organ\nGMRD,liver\n"),
        ("scores.csv", b"\xff\xfe"),
    ],
)
def test_damaged_scores_are_named(runs: Path, name: str, content: bytes) -> None:
    min(runs.rglob(name)).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}.*score the run again"):
        find_runs(runs)


def test_files(runs: Path, tmp_path: Path) -> None:
    result = cross_validate(find_runs(runs))
    write_tables(result, tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert text == markdown(result)
    assert "| Dice % | 70.00 ± 14.14 | 60.00 ± 14.14 | 65.00 ± 0.00 |" in text
    assert "| published Dice % | 81.42 | 76.09 |  |" in text
    assert "(1 undefined)" in text
    for line in ("- protocol: chunks", "- variant: paper", "- support: last"):
        assert line in text
    record = json.loads((tmp_path / "table.json").read_text())
    assert record["scores"]["dice"]["liver"]["mean"] == pytest.approx(0.7)
    rows = csv_rows(tmp_path / "table.csv")
    by_name = {(row["score"], row["organ"]): row for row in rows}
    assert {("assd", "spleen"), ("iou", "mean")} <= by_name.keys()
    assert by_name["dice", "liver"]["published"] == "0.8142"
    assert by_name["iou", "liver"]["published"] == ""
    assert {row["protocol"] for row in rows} == {"chunks"}
    assert {row["distinct scored cases"] for row in rows} == {"3"}


def test_ranks(runs: Path) -> None:
    found = ranked(find_runs(runs), "liver")
    assert {rank: case.case_id for rank, (_, case) in found.items()} == {
        "best": "1",
        "median": "2",
        "worst": "3",
    }


LPS = np.diag([-1.0, -1.0, 5.0, 1.0])


@pytest.mark.parametrize(
    ("affine", "place"),
    [
        (np.diag([-1.0, -2.0, 5.0, 1.0]), (1, 2)),  # x to the left, y to the back: as it is shown
        (np.diag([-1.0, 2.0, 5.0, 1.0]), (6, 2)),  # y to the front: upside down
        (np.diag([1.0, 2.0, -5.0, 1.0]), (6, 7)),
    ],
)
def test_a_case_is_shown_front_up_and_right_at_the_left(
    affine: np.ndarray, place: tuple[int, int]
) -> None:
    image = np.zeros((4, 8, 10))
    image[2, 1, 2] = 1
    shown = panel("liver", image, image > 0, image > 0, affine)
    assert shown.title.endswith("z = 2")
    assert (shown.image[place], shown.aspect) == (1, 2)


def test_a_sagittal_case_is_shown_in_axial_slices() -> None:
    image = np.zeros((6, 8, 10))  # z to the right, y to the head, x to the front
    image[5, 3, 9] = 1
    affine = np.array([[0, 0, 4, 0], [1, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 1]], dtype=float)
    shown = panel("liver", image, image > 0, image > 0, affine)
    assert shown.title.endswith("z = 3")
    assert shown.image.shape == (10, 6)
    assert (shown.image[0, 0], shown.aspect) == (1, 1 / 4)


def test_page_needs_no_other_file(runs: Path, tmp_path: Path) -> None:
    found = find_runs(runs)
    truth = np.zeros((4, 8, 8), dtype=bool)
    truth[2, 2:5, 2:5] = True
    shown = panel("<liver>", np.random.default_rng(0).random((4, 8, 8)), truth, truth, LPS)
    assert shown.title.endswith("z = 2")
    assert shown.truth.sum() == 9
    result = cross_validate(found)
    page = write_page(result, found, cases_figure({"liver": [shown] * 3}, "title"), tmp_path)
    text = page.read_text()
    assert (tmp_path / "cases.png").read_bytes()[:4] == b"\x89PNG"
    assert text.count('src="data:image/png;base64,') == len(re.findall("<img", text)) == 1
    assert "http" not in text
    assert text.count("<tr>") == 1 + 5 + 1 + 5
