"""Ablated networks: what is left out has no weights, and the rest still learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gmrd.components import build
from gmrd.errors import InputError
from gmrd.losses import GMRDLoss
from gmrd.nn import GMRD, build_network
from gmrd.types import Episode

TINY = {"backbone": "resnet18", "n_features": 8, "n_foreground": 3, "n_background": 4}

COSINE = {"_target_": "gmrd.nn.decoders.BestCosine"}


@pytest.fixture(scope="module")
def episode() -> Episode:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 1, 1, 32, 32, generator=generator)
    masks = torch.zeros(1, 1, 32, 32)
    masks[..., 8:20, 8:20] = 1
    return Episode(images[0], masks, images[1], masks.long())


@pytest.mark.parametrize(
    ("options", "without"),
    [
        ({"decoder": COSINE}, ("foreground_decoder", "background_decoder")),
        ({"paths": "single"}, ("background_decoder",)),
        ({"decoder": COSINE, "paths": "single"}, ("foreground_decoder", "background_decoder")),
    ],
)
def test_an_ablated_network_learns_without_the_part(
    episode: Episode, options: dict[str, Any], without: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    network = build_network(**TINY, **options, image_size=32)  # type: ignore[arg-type]
    names = [name for name, _ in network.named_parameters()]
    assert not [name for name in names if name.startswith(without)]
    full = [name for name, _ in build_network(**TINY, image_size=32).named_parameters()]  # type: ignore[arg-type]
    assert [name for name in full if not name.startswith(without)] == names
    loss = GMRDLoss()(network(episode), episode)["total"]
    loss.backward()
    unreached = [name for name, value in network.named_parameters() if value.grad is None]
    assert not unreached, "plain DDP waits for these for ever"


def test_a_single_path_is_a_sigmoid_of_the_foreground(episode: Episode) -> None:
    torch.manual_seed(0)
    network = build_network(**TINY, paths="single", image_size=32).eval()  # type: ignore[arg-type]
    logits = []
    network.foreground_decoder.register_forward_hook(lambda *args: logits.append(args[2]))
    probability = network(episode).probabilities[:, 0, 1]
    full = torch.nn.functional.interpolate(
        logits[0][:, None], size=(32, 32), mode="bilinear", align_corners=True
    )[:, 0]
    assert torch.allclose(probability, full.sigmoid(), atol=1e-5)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(InputError, match="paths=three: expected dual or single"):
        build(
            "model.network", {**TINY, "_target_": "gmrd.nn.build_network", "paths": "three"}, GMRD
        )
