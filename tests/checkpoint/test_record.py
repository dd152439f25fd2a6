"""What a checkpoint remembers: plain in the file, typed here, checked in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gmrd.checkpoint.record import TrainingRecord
from gmrd.errors import InputError

OLDEST = {
    "name": "phantom", "orientation": "LPS", "spacing": [7.7, 2.5, 2.5],
    "slice_shape": [128, 128], "window": None, "clip_percentile": None,
}  # fmt: skip
"""All that the checkpoint of the second notebook tells."""

RECORD = TrainingRecord(
    name="sabs", orientation="LAS", spacing=(3.0, 1.4, 1.4), slice_shape=(256, 256),
    window=(-125.0, 275.0), cases=("1", "2"), joined={"chaost2": ("3",)}, fold=0, setting=2,
    group=1, seed=7, variant="head", pretrained="imagenet", max_steps=100,
    settings={"data.min_area": 200, "data.test_groups": [[1, 4], [2, 3]]},
    versions={"torch": "2.6.0"},
)  # fmt: skip


def test_it_goes_through_a_checkpoint_that_is_read_safely(tmp_path: Path) -> None:
    torch.save(RECORD.to_plain(), tmp_path / "record")
    plain = torch.load(tmp_path / "record", weights_only=True)
    assert TrainingRecord.from_plain(plain) == RECORD


@pytest.mark.parametrize("nothing", [None, {}])
def test_a_checkpoint_that_remembers_nothing(nothing: dict[str, Any] | None) -> None:
    assert TrainingRecord.from_plain(nothing) is None


def test_what_an_older_checkpoint_does_not_tell_is_unknown() -> None:
    record = TrainingRecord.from_plain(OLDEST)
    assert record is not None
    assert (record.cases, record.fold, record.pretrained, record.settings) == (None, None, None, {})
    assert record == replace(record, spacing=(7.7, 2.5, 2.5), slice_shape=(128, 128))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spacing": [1.0, 2.0]}, r"spacing=\[1.0, 2.0\]: expected a list of 3 entries, each"),
        ({"spacing": [1.0, 2.0, 0.0]}, r"spacing\[2\]=0.0: expected a number above 0"),
        ({"slice_shape": [256, 0]}, r"slice_shape\[1\]=0: expected a whole number, 1 or more"),
        ({"orientation": "LAX"}, "orientation=LAX: expected three axis codes"),
        ({"orientation": "LRS"}, "orientation=LRS: expected three axis codes"),
        ({"fold": "0"}, "fold=0: expected a whole number"),
        ({"seed": True}, "seed=True: expected a whole number"),
        ({"cases": "1 2"}, "cases=1 2: expected a list, each entry text"),
        ({"name": None}, "name=null: expected text"),
        ({"settings": None}, "settings=null: expected a mapping"),
        ({"colour": "red"}, "colour is not a setting"),
    ],
)
def test_what_it_cannot_be_is_named_with_the_remedy(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"{message}.*train again"):
        TrainingRecord.from_plain(RECORD.to_plain() | change)


def test_what_it_must_have_is_named() -> None:
    with pytest.raises(InputError, match="spacing is missing"):
        TrainingRecord.from_plain({k: v for k, v in OLDEST.items() if k != "spacing"})
