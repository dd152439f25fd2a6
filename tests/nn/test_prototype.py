"""The single-prototype baseline, on features that can be read off."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gmrd.nn.prototype import PrototypeMatching


class Signs(nn.Module):
    """Two feature channels: where the image is positive, and where it is not."""

    def forward(self, images: Tensor) -> Tensor:
        positive = (images > 0).float()
        return nn.functional.avg_pool2d(torch.stack([positive, 1 - positive], dim=1), 2)


def test_a_region_with_its_own_feature_is_found() -> None:
    network = PrototypeMatching(Signs(), image_size=16)
    mask = torch.zeros(16, 16)
    mask[4:10, 4:10] = 1
    query = torch.roll(mask, (4, 2), dims=(0, 1))
    prototypes = network.describe((2 * mask - 1)[None, None], mask[None, None])
    torch.testing.assert_close(prototypes.foreground, torch.tensor([1.0, 0.0]), atol=1e-3, rtol=0)
    [probability] = network.predict((2 * query - 1)[None], [prototypes])
    found = probability[0] > 0.5
    assert 2 * (found & (query > 0)).sum() / (found.sum() + query.sum()) > 0.85


def test_an_empty_support_is_finite() -> None:
    network = PrototypeMatching(Signs(), image_size=16)
    prototypes = network.describe(torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16))
    [probability] = network.predict(torch.ones(2, 16, 16), [prototypes])
    assert probability.isfinite().all()
