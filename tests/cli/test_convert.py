"""gmrd-convert, there and back, as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gmrd.checkpoint.load import load_module
from gmrd.module import GMRDModule
from gmrd.nn import GMRD
from gmrd.nn.research_format import to_public


def convert(*overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from gmrd.cli.convert import main; main()", *overrides]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def public(public_network: Callable[..., GMRD], tmp_path: Path) -> Path:
    torch.save(to_public(public_network(activation="none")), tmp_path / "public.pth")
    return tmp_path / "public.pth"


def test_there_and_back(public: Path, tmp_path: Path) -> None:
    ckpt, back = tmp_path / "gmrd.ckpt", tmp_path / "back.pth"
    there = convert(f"source={public}", f"out={ckpt}")
    assert there.returncode == 0, there.stderr
    assert "variant head" in " ".join(there.stdout.split())
    module = load_module(ckpt)
    assert module.loss.auxiliary_weight == 0
    assert module.hparams["network"]["image_size"] == 32
    assert isinstance(GMRDModule.load_from_checkpoint(ckpt, weights_only=True), GMRDModule)
    again = convert(f"source={ckpt}", f"out={back}", "to=public")
    assert again.returncode == 0, again.stderr
    ours, theirs = torch.load(back), torch.load(public)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_missing_source_is_explained(tmp_path: Path) -> None:
    refused = convert(f"source={tmp_path}/none.pth", f"out={tmp_path}/x.ckpt")
    assert refused.returncode == 2
    assert "no checkpoint at" in refused.stderr
    assert not list(tmp_path.iterdir())
