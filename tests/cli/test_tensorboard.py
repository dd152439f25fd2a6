"""What lands in TensorBoard's event file, read back from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.commands import Train


def test_scalars_by_organ_and_pictures_of_episodes_and_cases(train: Train, tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="TensorBoard: install gmrd[tensorboard]",
    )
    metrics, _ = train(tmp_path, "logger=tensorboard", "trainer.max_steps=3")
    board = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    scored = {name: value for name, value in metrics.items() if name.startswith("test/")}
    assert {"test/dice", "test/iou", "test/dice_liver", "test/iou_spleen"} <= scored.keys()
    for name, value in scored.items():
        (event,) = board.Scalars(name)
        assert event.value == pytest.approx(value)
    assert [event.step for event in board.Scalars("val/pseudo_dice")] == [2]
    cases = [path.stem for path in (tmp_path / "pictures").glob("case_*.png")]
    assert len(cases) == 2
    shown = {f"test/{case}" for case in cases}
    assert set(board.Tags()["images"]) == shown | {
        "pictures/episode", "pictures/affinity", "pictures/descriptors",
    }  # fmt: skip
    summary = json.loads((tmp_path / "summary.json").read_text())["methods"]["GMRD"]
    assert scored["test/iou_spleen"] == pytest.approx(summary["iou"]["spleen"])
