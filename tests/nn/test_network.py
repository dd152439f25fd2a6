"""The dual-path network: shapes, options, hard masks, and equality with a plain port."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gmrd.components import build
from gmrd.errors import InputError
from gmrd.losses import GMRDLoss
from gmrd.nn import GMRD, build_network
from gmrd.nn.plain import PlainNetwork
from gmrd.types import Episode

SMALL: dict[str, Any] = {
    "backbone": "resnet18",
    "n_features": 8,
    "n_foreground": 3,
    "n_background": 5,
    "image_size": 32,
}


def small(**changes: Any) -> GMRD:
    torch.manual_seed(0)
    return build_network(**{**SMALL, **changes})


def episode(batch: int = 1, shot: int = 1, query: int = 1, size: int = 32) -> Episode:
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(batch, shot + query, size, size, generator=generator)
    masks = torch.rand(batch, shot + query, size, size, generator=generator) > 0.7
    masks[..., : size // 4] = False
    return Episode(
        images[:, :shot], masks[:, :shot].float(), images[:, shot:], masks[:, shot:].long()
    )


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (1, 1, 1, 32)),
        ({}, (2, 3, 2, 32)),
        ({"activation": "none", "boundary": "ring", "fill": "mean"}, (2, 1, 1, 32)),
        ({"image_size": 40, "evaluation_fill": "mean"}, (1, 2, 1, 40)),
        ({"backbone": "resnet34"}, (1, 1, 3, 32)),
        ({"backbone": "resnet50", "fill": "cyclic"}, (1, 1, 1, 32)),
    ],
)
def test_shapes_and_gradients(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    batch, shot, query, size = shape
    network, given = small(**options), episode(*shape)
    output = network.train()(given)
    assert output.probabilities.shape == (batch, query, 2, size, size)
    assert output.alignment.shape == (batch, shot, 2, size, size)
    assert output.support.foreground.shape == (batch, 3 + 2, 8)
    assert output.query.background.shape == (batch, 5 + 2, 8)
    loss = GMRDLoss(auxiliary_weight=0.0 if "activation" in options else 0.5)
    loss(output, given)["total"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_equals_the_plain_port_gradients_included() -> None:
    single, results = episode(), []
    given = replace(
        single,
        support_images=single.support_images.double(),
        support_masks=single.support_masks.double(),
        query_images=single.query_images.double(),
    )
    for plain in (False, True):
        network = small(backbone="resnet50", fill="cyclic", dropout=0.0, with_threshold=True)
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout2d):
                module.p = 0.0
        network = network.double()
        output = (PlainNetwork(network) if plain else network).train()(given)
        GMRDLoss().double()(output, given)["total"].backward()
        gradients = {n: p.grad for n, p in network.named_parameters() if p.requires_grad}
        results.append((output.probabilities, gradients))
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("fill", ["random", "cyclic", "mean"])
@pytest.mark.parametrize("kind", ["one pixel", "all", "no query foreground"])
def test_hard_masks_stay_finite(kind: str, fill: str) -> None:
    given = episode()
    masks = torch.zeros_like(given.support_masks)
    if kind == "one pixel":
        masks[..., 5, 6] = 1
    elif kind == "all":
        masks += 1
    else:
        masks = given.support_masks
        given = replace(given, query_masks=torch.zeros_like(given.query_masks))
    network, given = small(fill=fill), replace(given, support_masks=masks)
    losses = GMRDLoss()(network.train()(given), given)
    losses["total"].backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_nothing_predicted_nothing_aligned() -> None:
    given, network = episode(), small()
    network.background_decoder.head[3].weight.data.abs_()
    network.foreground_decoder.head[3].weight.data.abs_().neg_()
    output = network.train()(given)
    assert not output.alignment_valid.any()
    losses = GMRDLoss()(output, given)
    assert losses["align"] == losses["auxiliary"] == 0
    losses["total"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_prediction_alone_equals_the_episode() -> None:
    network, given = small(with_threshold=True).eval(), episode(query=3, shot=2)
    with torch.no_grad():
        whole = network(given).probabilities[0, :, 1]
        support = network.describe(given.support_images, given.support_masks)
        classes = network.describe_classes(
            given.support_images, torch.cat([given.support_masks, 1 - given.support_masks])
        )
        first, second = network.predict(given.query_images[0], classes)
        torch.testing.assert_close(network.predict(given.query_images[0], [support])[0], whole)
    torch.testing.assert_close(first, whole)
    assert not torch.allclose(first, second)


def test_batched_episodes_are_independent_in_evaluation() -> None:
    network, given = small().eval(), episode(batch=2)
    second = Episode(*(getattr(given, f)[1:] for f in (
        "support_images", "support_masks", "query_images", "query_masks"
    )))  # fmt: skip
    with torch.no_grad():
        torch.testing.assert_close(network(given).probabilities[1:], network(second).probabilities)


def test_one_empty_support_of_a_batch() -> None:
    network, given = small(with_threshold=True).eval(), episode(batch=2)
    masks = given.support_masks.clone()
    masks[0] = 0
    mixed = replace(given, support_masks=masks, any_empty_support=True)
    with torch.no_grad():
        probabilities = network(mixed).probabilities
        torch.testing.assert_close(probabilities[1], network(given).probabilities[1])
    threshold = network.encoder.threshold(network.encoder.deep(given.query_images[0]))
    expected = 1 - torch.sigmoid(-0.5 * threshold)
    torch.testing.assert_close(
        probabilities[0, 0, 1], expected[0].detach().expand(32, 32), rtol=1e-4, atol=1e-5
    )


def test_threshold_is_not_trained_and_not_there_unless_asked() -> None:
    assert all(p.requires_grad for p in small().parameters())
    frozen = {n for n, p in small(with_threshold=True).named_parameters() if not p.requires_grad}
    assert frozen
    assert all(name.startswith("encoder.threshold.") for name in frozen)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backbone": "resnet152"}, "backbone=resnet152: expected one of resnet18"),
        ({"activation": "gelu"}, "activation=gelu: expected relu or none"),
        ({"boundary": "edge"}, "boundary=edge: expected published or ring"),
        ({"fill": "zeros"}, "fill=zeros: expected one of random, published, cyclic, mean"),
        ({"n_features": 0}, "n_features=0: expected a whole number, 1 or more"),
        ({"evaluation_fill": "random"}, "evaluation_fill=random: expected cyclic or mean"),
        ({"pretrained": "/nowhere/x.pth"}, "put a state dict"),
        ({"pretrained": "coco_deeplabv3"}, "not for resnet18"),
    ],
)
def test_refused_options(options: dict[str, Any], words: str) -> None:
    settings = {"_target_": "gmrd.nn.build_network", **SMALL, **options}
    with pytest.raises(InputError, match=words):
        build("model.network", settings, GMRD)


def test_refused_slices() -> None:
    with pytest.raises(InputError, match="48 x 48, but the network was built for 32 x 32"):
        small()(episode(size=48))
    empty = episode()
    empty = replace(
        empty, support_masks=torch.zeros_like(empty.support_masks), any_empty_support=True
    )
    with pytest.raises(InputError, match="with_threshold=true"):
        small()(empty)


@pytest.mark.parametrize(("start", "deviation"), [("kaiming", 0.0625), ("uniform", 0.0180)])
def test_the_projection_s_start(start: str, deviation: float) -> None:
    """1024 to 512 channels: sqrt(2 / 512), and what PyTorch draws by default."""
    network = build_network(backbone="resnet50", n_foreground=1, n_background=1, image_size=8,
                            projection_start=start)  # fmt: skip
    weight = network.encoder.reduce.weight
    assert weight.shape[:2] == (512, 1024)
    assert weight.std().item() == pytest.approx(deviation, rel=0.01)
    # 10 % beyond 1.64 deviations in a normal distribution, 6 % beyond in a uniform one
    beyond = (weight.abs() > 1.64 * deviation).float().mean().item()
    assert beyond == pytest.approx(0.101 if start == "kaiming" else 0.053, abs=0.01)


def test_random_weights_said_aloud_are_those_of_no_weights() -> None:
    silent, aloud = small().state_dict(), small(pretrained="none").state_dict()
    assert all(torch.equal(value, aloud[name]) for name, value in silent.items())


def test_pretrained_file(tmp_path: Path) -> None:
    from torchvision.models import resnet18, resnet50

    torch.manual_seed(3)
    weights = resnet18().state_dict()
    torch.save(weights, tmp_path / "resnet18.pth")
    torch.save({f"backbone.{k}": v for k, v in weights.items()}, tmp_path / "deeplab.pth")
    for name in ("resnet18.pth", "deeplab.pth"):
        network = small(pretrained=str(tmp_path / name))
        own = network.encoder.layer3[1].conv2.weight
        assert torch.equal(own, weights["layer3.1.conv2.weight"])
        assert torch.equal(network.encoder.stem[0].weight, weights["conv1.weight"])
    torch.save(resnet50().state_dict(), tmp_path / "resnet50.pth")
    with pytest.raises(InputError, match="does not fit the backbone"):
        small(pretrained=str(tmp_path / "resnet50.pth"))


def test_pretrained_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(
        "torch.hub.download_url_to_file", lambda *a, **k: (_ for _ in ()).throw(OSError("offline"))
    )
    with pytest.raises(InputError, match=r"download https?://\S+resnet18\S+ .* put it at"):
        small(pretrained="imagenet")


def test_bfloat16_autocast() -> None:
    network, given = small(backbone="resnet50").train(), episode(batch=2)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(given)
        losses = GMRDLoss()(output, given)
    assert output.probabilities.dtype == torch.float32
    assert all(value.dtype == torch.float32 for value in losses.values())
    losses["total"].backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
