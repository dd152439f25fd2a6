"""Dense matching in the network: the maps, where they start, and that they learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from gmrd.losses import GMRDLoss
from gmrd.nn import GMRD, build_network
from gmrd.nn.matching import SUREST, Cells, DenseMatching
from gmrd.types import Episode

SIDE = 64
NETWORK: dict[str, Any] = {
    "backbone": "resnet18",
    "n_features": 8,
    "n_foreground": 3,
    "n_background": 4,
    "image_size": SIDE,
    "matching": {},
}


def network() -> GMRD:
    torch.manual_seed(0)
    return build_network(**NETWORK)


def episode(n_shot: int = 1) -> Episode:
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(1, n_shot, SIDE, SIDE)
    masks[..., 8:40, 20:50] = 1
    images = torch.randn(1, n_shot + 1, SIDE, SIDE, generator=generator)
    images[:, :n_shot] += 2 * masks
    return Episode(images[:, :n_shot], masks, images[:, n_shot:], masks[:, :1].long())


def test_maps_are_weighted_means_of_the_supports_shares() -> None:
    generator = torch.Generator().manual_seed(0)
    query, support = (
        F.normalize(torch.randn(1, n, 3, 4, 5, generator=generator), dim=-1) for n in (1, 2)
    )
    shares = torch.rand(1, 2, 3, 4, generator=generator)
    matching = DenseMatching(temperature=7.0, width=0.3)
    found = matching(query[0], Cells(support, shares))
    expected = torch.zeros(2, 3, 4)
    for y in range(3):
        for x in range(4):
            sums = torch.zeros(2, 2)
            for shot in range(2):
                for v in range(3):
                    for u in range(4):
                        far = ((y - v) / 3) ** 2 + ((x - u) / 4) ** 2
                        place = torch.tensor(-0.5 * far / 0.3**2)
                        alike = 7.0 * (query[0, 0, y, x] @ support[0, shot, v, u])
                        for row, weight in enumerate(((alike + place).exp(), place.exp())):
                            sums[row] += weight * torch.tensor([shares[0, shot, v, u], 1.0])
            expected[:, y, x] = sums[:, 0] / sums[:, 1]
    torch.testing.assert_close(found[0], expected)


def test_training_starts_from_what_matching_carries() -> None:
    made, given = network().eval(), episode(n_shot=2)
    described = made.describe(given.support_images, given.support_masks)
    assert made.matching is not None
    assert described.cells is not None
    maps: list[torch.Tensor] = []
    made.matching.register_forward_hook(lambda *args: maps.append(args[2]))
    [found] = made.predict(given.query_images[0], [described])
    logit = torch.logit(maps[0][:, :1].clamp(SUREST, 1 - SUREST))
    full = F.interpolate(logit, (SIDE, SIDE), mode="bilinear", align_corners=True)[:, 0]
    torch.testing.assert_close(found, full.sigmoid(), atol=1e-5, rtol=1e-5)


def test_temperature_width_and_all_else_learn() -> None:
    made, given = network(), episode()
    torch.nn.init.normal_(made.foreground_decoder.head[-1].weight)  # type: ignore[index, union-attr]
    GMRDLoss()(made(given), given)["total"].backward()
    assert [name for name, p in made.named_parameters() if p.grad is None] == []
    for name in ("log_temperature", "log_width", "gain"):
        assert float(made.get_parameter(f"matching.{name}").grad.abs()) > 0  # type: ignore[union-attr]


@pytest.mark.parametrize("decoder", ["AffinityDecoder", "BestCosine"])
def test_without_matching_nothing_changes(decoder: str) -> None:
    def built(**changes: Any) -> GMRD:
        torch.manual_seed(0)
        part = {"_target_": f"gmrd.nn.decoders.{decoder}"}
        return build_network(**{**NETWORK, **changes}, decoder=part)

    plain = built(matching=None)
    assert plain.matching is None
    described = plain.describe(episode().support_images, episode().support_masks)
    assert described.cells is None
    added = {n for n, _ in built().named_parameters()} - {n for n, _ in plain.named_parameters()}
    assert added == {"matching.log_temperature", "matching.log_width", "matching.gain"}
