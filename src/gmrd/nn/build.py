"""The one place where the network's numbers are put in."""

from __future__ import annotations

from typing import cast, get_args

import torch

from gmrd.errors import InputError, refuse_below_one
from gmrd.nn.ablations import ablate
from gmrd.nn.descriptors import DescriptorGenerator
from gmrd.nn.encoder import BACKBONES, Encoder
from gmrd.nn.network import GMRD
from gmrd.nn.pooling import Fill
from gmrd.nn.pretrained import load_pretrained
from gmrd.types import Variant


def build_network(
    *,
    backbone: str = "resnet101",
    pretrained: str | None = None,
    n_features: int = 512,
    n_foreground: int = 100,
    n_background: int = 600,
    image_size: int = 256,
    variant: str = "paper",
    boundary: str = "published",
    fill: str = "random",
    evaluation_fill: str = "cyclic",
    dropout: float = 0.2,
    with_threshold: bool = False,
    prediction: str = "mamp",
    paths: str = "dual",
) -> GMRD:
    """Build the network from plain values, as a configuration or a checkpoint holds them.

    Args:
        backbone: ``resnet18`` | ``resnet34`` | ``resnet50`` | ``resnet101``.
        pretrained: ``imagenet`` | ``coco_deeplabv3`` | a file of weights | None.
        n_features: channels of the features.
        n_foreground: generated descriptors of the foreground.
        n_background: generated descriptors of the background.
        image_size: side of the slices in pixels; the descriptor generators are built for it.
        variant: ``paper`` (ReLU between the generator's layers) | ``head`` (none).
        boundary: the background's boundary feature, ``published`` | ``ring``.
        fill: ``random`` | ``cyclic`` | ``mean``, in training.
        evaluation_fill: ``cyclic`` | ``mean``, otherwise.
        dropout: of the descriptor generators.
        with_threshold: create what an episode with an empty support needs (layer4 and the
            classifier, 17 million weights that no other episode uses). It is not trained.
        prediction: ``mamp`` | ``cosine`` (ablation: the best affinity is the logit).
        paths: ``dual`` | ``single`` (ablation: the foreground alone is matched).

    Raises:
        InputError: a value that is none of these, or weights that do not fit.
    """
    _one_of("backbone", backbone, BACKBONES)
    _one_of("variant", variant, get_args(Variant))
    _one_of("boundary", boundary, ("published", "ring"))
    _one_of("fill", fill, get_args(Fill))
    _one_of("evaluation_fill", evaluation_fill, ("cyclic", "mean"))
    _one_of("prediction", prediction, ("mamp", "cosine"))
    _one_of("paths", paths, ("dual", "single"))
    refuse_below_one(
        n_features=n_features,
        n_foreground=n_foreground,
        n_background=n_background,
        image_size=image_size,
    )
    encoder = Encoder(backbone=backbone, n_features=n_features, with_threshold=with_threshold)
    if pretrained is not None:
        load_pretrained(encoder, backbone, pretrained)
    foreground, background = (
        DescriptorGenerator(
            n_descriptors=n, image_size=image_size, dropout=dropout, variant=cast(Variant, variant)
        )
        for n in (n_foreground, n_background)
    )
    network = GMRD(
        encoder=encoder,
        foreground=foreground,
        background=background,
        image_size=image_size,
        boundary=boundary,
        fill=cast(Fill, fill),
        evaluation_fill=cast(Fill, evaluation_fill),
    )
    ablate(network, prediction=prediction, paths=paths)
    return network.to(memory_format=torch.channels_last)


def _one_of(name: str, value: str, allowed: object) -> None:
    names = list(allowed)  # type: ignore[call-overload]
    if value not in names:
        raise InputError(f"{name}={value!r} is none of {', '.join(names)}")
