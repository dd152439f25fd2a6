"""The workspace shows what training logs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def test_the_workspace_shows_what_is_logged() -> None:
    pytest.importorskip("wandb_workspaces", reason="the extra gmrd[dashboard]")
    from gmrd.cli.dashboard import workspace

    made = workspace("someone", "gmrd", "dashboard", ["liver", "spleen"])._to_model()
    text = made.model_dump_json(by_alias=True)
    assert {"test/dice_liver", "test/dice_spleen"} <= set(re.findall(r"test/dice_\w+", text))
    for key in ("train/align_loss", "val/pseudo_dice", "overlays", "pictures/affinity"):
        assert key in text


def test_what_is_shown_is_what_the_code_logs() -> None:
    """A renamed key would leave an empty panel."""
    from gmrd.cli.dashboard import PICTURES, PLOTS

    source = Path(__file__).parents[2] / "src" / "gmrd"
    logged = "".join(path.read_text() for path in source.rglob("*.py") if path.stem != "dashboard")
    for key in (*PICTURES, *(key for keys in PLOTS.values() for key in keys)):
        assert key.split("/")[0] in logged
        assert re.sub(r"_loss$", "", key.split("/")[-1]) in logged, key
