"""The compact encoder: ImageNet features at the start, of which the frozen part stays."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from gmrd.nn.lite import encode_slices, lite_encoder
from gmrd.nn.lite_features import LiteFeatures


def test_untrained_features_are_the_levels_less_their_mean() -> None:
    image = torch.randn(1, 64, 96, generator=torch.Generator().manual_seed(0))
    expected = []
    for level, weight in zip(encode_slices(lite_encoder(), image), (0.5, 1.0), strict=True):
        unit = F.normalize(level, dim=1)
        unit = unit - unit.mean(dim=(2, 3), keepdim=True)
        expected.append(weight * unit / unit.norm(dim=1).mean())
    with torch.no_grad():
        found = LiteFeatures()(image)
    torch.testing.assert_close(found, torch.cat(expected, dim=1), atol=1e-4, rtol=1e-4)


def test_an_enlarged_slice_has_finer_cells() -> None:
    with torch.no_grad():
        assert LiteFeatures(enlarged=2)(torch.zeros(2, 64, 64)).shape == (2, 152, 16, 16)


def test_training_moves_the_deeper_stages_and_no_statistics() -> None:
    encoder = LiteFeatures(n_frozen=3).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], lr=1.0)
    features = encoder(torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0)))
    features.square()[:, ::2].mean().backward()
    optimizer.step()
    moved = {n for n, v in encoder.state_dict().items() if not torch.equal(v, before[n])}
    assert "project.weight" in moved
    stages = {name.split(".")[2] for name in moved if name.startswith("backbone.blocks.")}
    assert stages == {"3", "4"}
    assert not [name for name in moved if ".bn" in name or "running" in name]
