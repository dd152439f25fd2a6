"""The dual-path network: encoder, descriptors, affinity maps (paper, figure 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gmrd.nn.affinity import AffinityDecoder, affinity_maps
from gmrd.nn.descriptors import DescriptorGenerator, background_boundary, foreground_boundary
from gmrd.nn.encoder import Encoder
from gmrd.nn.pooling import Fill, upsample
from gmrd.types import Episode, Variant


@dataclass(frozen=True)
class Descriptors:
    """What a support (or query) region looks like: rows are descriptors in feature space."""

    foreground: Float[Tensor, "batch kf c"]
    background: Float[Tensor, "batch kb c"]


@dataclass(frozen=True)
class SupportDescriptors(Descriptors):
    """A described support; ``empty`` marks episodes whose support masks hold nothing.

    ``any_empty`` says on the host whether one of them does.
    """

    any_empty: bool
    empty: Bool[Tensor, " batch"]


class NetworkOutput(NamedTuple):
    """Predictions of a batch of episodes and what the losses need."""

    probabilities: Float[Tensor, "batch query 2 h w"]
    """Background and foreground probability of every query pixel."""
    alignment: Float[Tensor, "batch shot 2 h w"]
    """The support predicted from the query, whose prediction serves as its mask."""
    alignment_valid: Bool[Tensor, " batch"]
    """False where nothing was predicted, so that there is nothing to align with."""
    support: Descriptors
    query: Descriptors


class GMRD(nn.Module):
    """Few-shot segmentation by multiple representative descriptors.

    Build it with :func:`build_network`.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        n_foreground: int,
        n_background: int,
        image_size: int,
        variant: Variant,
        boundary: str,
        fill: Fill,
        evaluation_fill: Fill,
        dropout: float,
    ) -> None:
        super().__init__()
        self.image_size, self.boundary = image_size, boundary
        self.fill, self.evaluation_fill = fill, evaluation_fill
        self.encoder = encoder
        describe = {"image_size": image_size, "dropout": dropout, "variant": variant}
        self.foreground = DescriptorGenerator(n_descriptors=n_foreground, **cast(Any, describe))
        self.background = DescriptorGenerator(n_descriptors=n_background, **cast(Any, describe))
        self.foreground_decoder = AffinityDecoder(n_descriptors=n_foreground)
        self.background_decoder = AffinityDecoder(n_descriptors=n_background)

    def forward(self, episode: Episode) -> NetworkOutput:
        """Predict the queries from the supports, and the supports from those predictions."""
        n_shot, n_query = episode.support_images.shape[1], episode.query_images.shape[1]
        images = torch.cat([episode.support_images, episode.query_images], dim=1)
        deep = self.encoder.deep(images.flatten(0, 1))
        features = torch.unflatten(self.encoder.reduce(deep), 0, images.shape[:2])
        support_features, query_features = features.split([n_shot, n_query], dim=1)

        support = self._describe(support_features, episode.support_masks)
        probabilities = self._predict(query_features, support)
        if episode.any_empty_support:
            query_deep = torch.unflatten(deep, 0, images.shape[:2])[:, n_shot:]
            classic = self._classic(query_features, query_deep, support)
            empty = _empty(episode.support_masks)
            probabilities = torch.where(empty[:, None, None, None, None], classic, probabilities)

        predicted = probabilities.detach().argmax(dim=2).to(probabilities.dtype)
        query = self._describe(query_features, predicted)
        return NetworkOutput(
            probabilities=probabilities,
            alignment=self._predict(support_features, query),
            alignment_valid=predicted.flatten(1).any(dim=1),
            support=support,
            query=query,
        )

    def describe(
        self,
        support_images: Float[Tensor, "batch shot h w"],
        support_masks: Float[Tensor, "batch shot h w"],
    ) -> SupportDescriptors:
        """Describe supports once, for any number of later predictions."""
        features = self.encoder(support_images.flatten(0, 1))
        features = torch.unflatten(features, 0, support_images.shape[:2])
        described = self._describe(features, support_masks)
        empty = _empty(support_masks)
        return SupportDescriptors(
            described.foreground, described.background, bool(empty.any()), empty
        )

    def predict(
        self,
        query_images: Float[Tensor, "n h w"],
        descriptors: SupportDescriptors | list[SupportDescriptors],
    ) -> Float[Tensor, "n h w"] | list[Float[Tensor, "n h w"]]:
        """Foreground probability of query slices against one support, or against several.

        The slices are encoded once whatever the number of supports (n-way prediction).
        """
        deep = self.encoder.deep(query_images)
        features = self.encoder.reduce(deep).unsqueeze(0)
        supports = descriptors if isinstance(descriptors, list) else [descriptors]
        predictions = []
        for support in supports:
            if support.any_empty:
                probabilities = self._classic(features, deep.unsqueeze(0), support)
            else:
                probabilities = self._predict(features, support)
            predictions.append(probabilities[0, :, 1])
        return predictions if isinstance(descriptors, list) else predictions[0]

    def _describe(
        self, features: Float[Tensor, "b s c hf wf"], masks: Float[Tensor, "b s h w"]
    ) -> Descriptors:
        """Descriptors of both regions, averaged over the slices of each episode."""
        flat, mask = features.flatten(0, 1), masks.flatten(0, 1)
        fill = self.fill if self.training else self.evaluation_fill
        background = background_boundary(mask, self.boundary)
        return Descriptors(
            self.foreground(flat, mask, foreground_boundary(mask), fill)
            .unflatten(0, masks.shape[:2])
            .mean(dim=1),
            self.background(flat, 1 - mask, background, fill)
            .unflatten(0, masks.shape[:2])
            .mean(dim=1),
        )

    def _predict(
        self, features: Float[Tensor, "b s c hf wf"], descriptors: Descriptors
    ) -> Float[Tensor, "b s 2 h w"]:
        """Probabilities of background and foreground on the slices of each episode."""
        flat, n_slices = features.flatten(0, 1), features.shape[1]
        logits = [
            decoder(affinity_maps(flat, rows.repeat_interleave(n_slices, dim=0)))
            for decoder, rows in (
                (self.background_decoder, descriptors.background),
                (self.foreground_decoder, descriptors.foreground),
            )
        ]
        size = (self.image_size, self.image_size)
        full = upsample(torch.stack(logits, dim=1).float(), size)
        return torch.unflatten(full.softmax(dim=1), 0, features.shape[:2])

    def _classic(
        self,
        features: Float[Tensor, "b q c hf wf"],
        deep: Float[Tensor, "b q d hf wf"],
        support: Descriptors,
    ) -> Float[Tensor, "b q 2 h w"]:
        """The classic path: distance to the mean foreground feature against a threshold."""
        if self.encoder.threshold is None:
            raise ValueError(
                "a support mask is empty, and this network was built without the threshold "
                "that such an episode needs: set with_threshold=true, or leave the episode out"
            )
        mean = support.foreground[:, -2:-1].repeat_interleave(features.shape[1], dim=0)
        cosine = affinity_maps(features.flatten(0, 1), mean)
        threshold = self.encoder.threshold(deep.flatten(0, 1)).float()[:, None, None, None]
        size = (self.image_size, self.image_size)
        foreground = upsample(1 - torch.sigmoid(0.5 * (-20.0 * cosine - threshold)), size)
        both = torch.cat([1 - foreground, foreground], dim=1)
        return torch.unflatten(both, 0, features.shape[:2])


def _empty(masks: Float[Tensor, "b s h w"]) -> Bool[Tensor, " b"]:
    return ~masks.flatten(1).any(dim=1)


def build_network(
    *,
    backbone: str = "resnet101",
    pretrained: str | None = None,
    n_features: int = 512,
    n_foreground: int = 100,
    n_background: int = 600,
    image_size: int = 256,
    variant: Variant = "paper",
    boundary: str = "published",
    fill: Fill = "random",
    evaluation_fill: Fill = "cyclic",
    dropout: float = 0.2,
    with_threshold: bool = False,
) -> GMRD:
    """Build the network from plain values, as a configuration or a checkpoint holds them."""
    encoder = Encoder(backbone=backbone, n_features=n_features, with_threshold=with_threshold)
    return GMRD(
        encoder=encoder,
        n_foreground=n_foreground,
        n_background=n_background,
        image_size=image_size,
        variant=variant,
        boundary=boundary,
        fill=fill,
        evaluation_fill=evaluation_fill,
        dropout=dropout,
    ).to(memory_format=torch.channels_last)
