"""The only place where the network's sizes are set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from torch import nn

from gmrd.components import build
from gmrd.errors import InputError
from gmrd.nn.decoders import NoPath
from gmrd.nn.descriptors import Activation, DescriptorGenerator
from gmrd.nn.encoder import Backbone, Encoder, ProjectionStart
from gmrd.nn.matching import N_MAPS, DenseMatching
from gmrd.nn.network import GMRD
from gmrd.nn.pooling import Fill
from gmrd.nn.pretrained import RANDOM, load_pretrained
from gmrd.values.arguments import TARGET, Part
from gmrd.values.kinds import Count, Share

MAMP = "gmrd.nn.decoders.AffinityDecoder"
MATCHING = "gmrd.nn.matching.DenseMatching"


def build_network(
    *,
    encoder: Annotated[Mapping[str, Any], Part()] | None = None,
    backbone: Backbone = "resnet101",
    pretrained: str | None = None,
    n_features: Count = 512,
    projection_start: ProjectionStart = "kaiming",
    n_foreground: Count = 100,
    n_background: Count = 600,
    image_size: Count = 256,
    activation: Activation = "relu",
    boundary: Literal["published", "ring"] = "published",
    fill: Fill = "random",
    evaluation_fill: Literal["cyclic", "mean"] = "cyclic",
    dropout: Share = 0.2,
    with_threshold: bool = False,
    decoder: Annotated[Mapping[str, Any], Part(MAMP)] | None = None,
    matching: Annotated[Mapping[str, Any], Part(MATCHING)] | None = None,
    paths: Literal["dual", "single"] = "dual",
    kind: type[GMRD] = GMRD,
) -> GMRD:
    """Build the network from plain values, as in a configuration or a checkpoint.

    The arguments are flat because they are the keys of ``model.network``.

    Args:
        encoder: ``_target_`` and arguments of a module that maps slices (n, h, w) to features
            (n, c, hf, wf); None for the ResNet described by the next settings.
        backbone: ``resnet18`` | ``resnet34`` | ``resnet50`` | ``resnet101``.
        pretrained: ``imagenet`` | ``coco_deeplabv3`` | a file of weights | ``none`` or None for
            random weights.
        n_features: channels of the ResNet's features.
        projection_start: initialisation of their 1 x 1 convolution, ``kaiming`` | ``uniform``, see
            :class:`gmrd.nn.encoder.Encoder`.
        n_foreground: generated descriptors of the foreground.
        n_background: generated descriptors of the background.
        image_size: slice size in pixels, for which the descriptor generators are built.
        activation: between the generator's layers, ``relu`` | ``none``.
        boundary: the background's boundary feature, ``published`` | ``ring``.
        fill: ``random`` | ``published`` | ``cyclic`` | ``mean``, in training.
        evaluation_fill: ``cyclic`` | ``mean``, otherwise.
        dropout: of the descriptor generators.
        with_threshold: create layer4 and the classifier, which only episodes with an empty support
            need (17 million weights). They are not trained.
        decoder: ``_target_`` and arguments of both paths' decoder (:mod:`gmrd.nn.decoders`);
            it also gets ``n_descriptors``. None for the paper's.
        matching: arguments of :class:`gmrd.nn.matching.DenseMatching`, whose maps MAMP also
            decodes; the decoders then get ``n_further``. None, as published, for no matching.
        paths: ``dual`` | ``single`` (ablation: only the foreground is matched).
        kind: the class to build, GMRD or a subclass.

    Raises:
        InputError: a value is not valid, or the weights do not fit.
    """
    made_encoder: nn.Module
    if encoder is None:
        made_encoder = Encoder(
            backbone=backbone,
            n_features=n_features,
            with_threshold=with_threshold,
            projection_start=projection_start,
        )
        if pretrained not in RANDOM:
            load_pretrained(made_encoder, backbone, pretrained)
    elif pretrained not in RANDOM or with_threshold:
        raise InputError(
            "model.network.pretrained and with_threshold are settings of the ResNet, but "
            "model.network.encoder names another encoder: set them to none and false"
        )
    else:
        made_encoder = build("model.network.encoder", encoder, nn.Module)
    foreground, background = (
        DescriptorGenerator(
            n_descriptors=n,
            image_size=image_size,
            dropout=dropout,
            activation=activation,
        )
        for n in (n_foreground, n_background)
    )
    further = {} if matching is None else {"n_further": N_MAPS}
    foreground_decoder, background_decoder = (
        build(
            "model.network.decoder",
            decoder or {TARGET: MAMP},
            nn.Module,
            n_descriptors=n,
            **further,
        )
        for n in (n_foreground, n_background)
    )
    network = kind(
        encoder=made_encoder,
        foreground=foreground,
        background=background,
        foreground_decoder=foreground_decoder,
        background_decoder=background_decoder if paths == "dual" else NoPath(),
        matching=None
        if matching is None
        else build("model.network.matching", {TARGET: MATCHING, **matching}, DenseMatching),
        image_size=image_size,
        boundary=boundary,
        fill=fill,
        evaluation_fill=evaluation_fill,
    )
    return network.to(memory_format=torch.channels_last)
