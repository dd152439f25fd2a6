"""A checkpoint whose bits changed, or whose weights are no numbers, is refused by name."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gmrd.checkpoint.file import read_checkpoint
from gmrd.checkpoint.load import load_module
from gmrd.errors import InputError
from helpers.commands import RunHere


def test_any_flipped_bit_of_a_weight_is_noticed(checkpoint: Path, tmp_path: Path) -> None:
    data = bytearray(checkpoint.read_bytes())
    path = tmp_path / "flipped.ckpt"
    for place in range(len(data) // 4, 3 * len(data) // 4, len(data) // 16):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(InputError, match=r"flipped\.ckpt"):
            load_module(path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a few kilobytes."""
    path = tmp_path_factory.mktemp("damaged") / "a.ckpt"
    state = {f"weight_{i}": torch.randn(40) for i in range(8)}
    torch.save({"hyper_parameters": {"network": {}}, "state_dict": state}, path)
    return path


@given(place=st.floats(0, 1), middle=st.binary(min_size=1, max_size=40), cut=st.booleans())
def test_damage_is_refused_or_changes_nothing(
    small: Path, place: float, middle: bytes, cut: bool
) -> None:
    data = small.read_bytes()
    at = int(place * (len(data) - 1))
    path = small.with_name("b.ckpt")
    path.write_bytes(data[:at] + middle + (b"" if cut else data[at + len(middle) :]))
    expected = torch.load(small, weights_only=True)["state_dict"]
    with contextlib.suppress(InputError):
        found = read_checkpoint(path)["state_dict"]
        assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(
    checkpoint: Path, tmp_path: Path, value: float
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    name = next(n for n, v in content["state_dict"].items() if v.is_floating_point())
    content["state_dict"][name] = torch.full_like(content["state_dict"][name], value)
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=f"{name} are not all finite"):
        load_module(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    "content",
    [
        {"hyper_parameters": 3, "state_dict": {}},
        {"hyper_parameters": {}, "state_dict": [1]},
        {"hyper_parameters": {"network": 3}, "state_dict": {}},
        {"hyper_parameters": {}, "state_dict": {}},
    ],
)
def test_malformed_records_are_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"a\.ckpt"):
        load_module(tmp_path / "a.ckpt")


@pytest.mark.parametrize(("command", "source"), [("export", "ckpt_path"), ("convert", "source")])
def test_a_checkpoint_is_not_written_over_itself(
    run_here: RunHere, checkpoint: Path, tmp_path: Path, command: str, source: str
) -> None:
    path = Path(shutil.copy(checkpoint, tmp_path / "mine.ckpt"))
    (tmp_path / "link.ckpt").hardlink_to(path)
    before = path.read_bytes()
    for out in ("mine.ckpt", "./mine.ckpt", "link.ckpt"):
        assert run_here(command, f"{source}={path}", f"out={out}") == 2
    assert path.read_bytes() == before


def test_settings_that_no_machine_can_build_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"]["network"]["image_size"] = 10**9
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"a\.ckpt has hyper-parameters"):
        load_module(tmp_path / "a.ckpt")


def test_a_format_without_checksums_is_not_read(checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    torch.save(content, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=r"old\.ckpt is not a checkpoint that can be read"):
        load_module(tmp_path / "old.ckpt")
