"""gmrd-convert, there and back, as a user runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gmrd.checkpoint.load import load_module
from gmrd.module import GMRDModule
from gmrd.nn import GMRD
from gmrd.nn.research_format import to_public
from helpers.commands import RunHere


@pytest.fixture
def public(public_network: Callable[..., GMRD], tmp_path: Path) -> Path:
    torch.save(to_public(public_network(activation="none")), tmp_path / "public.pth")
    return tmp_path / "public.pth"


def test_there_and_back(
    run_here: RunHere, public: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt, back = tmp_path / "gmrd.ckpt", tmp_path / "back.pth"
    assert run_here("convert", f"source={public}", f"out={ckpt}") == 0
    assert "variant head" in " ".join(capsys.readouterr().out.split())
    module = load_module(ckpt)
    assert module.loss.auxiliary_weight == 0
    assert module.hparams["network"]["image_size"] == 32
    assert isinstance(GMRDModule.load_from_checkpoint(ckpt, weights_only=True), GMRDModule)
    assert run_here("convert", f"source={ckpt}", f"out={back}", "to=public") == 0
    ours, theirs = torch.load(back), torch.load(public)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_missing_source_is_explained(
    run_here: RunHere, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("convert", f"source={tmp_path}/none.pth", f"out={tmp_path}/x.ckpt") == 2
    assert "no checkpoint at" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())
