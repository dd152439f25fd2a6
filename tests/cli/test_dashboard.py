"""The workspace shows what training logs."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.commands import RunHere


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


@pytest.mark.parametrize(
    ("entity", "said"), [("", "entity is empty"), ("someone", "needs an account (`wandb login`)")]
)
def test_what_is_missing_to_send_is_said(
    run_here: RunHere,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    entity: str,
    said: str,
) -> None:
    import wandb

    from gmrd.cli import dashboard

    def refuse(*_: object) -> None:
        raise wandb.errors.UsageError("No API key configured.")

    monkeypatch.setattr(dashboard, "workspace", lambda *_: SimpleNamespace(save=refuse))
    assert run_here("dashboard", f"entity={entity}") == 2
    assert said in " ".join(capsys.readouterr().err.split())
