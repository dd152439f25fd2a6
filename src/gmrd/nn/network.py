"""The dual-path network: encoder, descriptors, affinity maps (paper, figure 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gmrd.errors import InputError
from gmrd.nn.affinity import COSINE_SCALE, affinity_maps, unit_positions
from gmrd.nn.descriptors import DescriptorGenerator, background_boundary, foreground_boundary
from gmrd.nn.encoder import Encoder
from gmrd.nn.matching import Cells, DenseMatching
from gmrd.nn.pooling import Fill, at_least_float32, upsample
from gmrd.types import Episode


@dataclass(frozen=True)
class Descriptors:
    """Descriptors of a slice's two regions; each row is a vector in feature space.

    ``cells`` are the slice's own positions, for a network with dense matching.
    """

    foreground: Float[Tensor, "batch kf c"]
    background: Float[Tensor, "batch kb c"]
    cells: Cells | None = None


@dataclass(frozen=True, kw_only=True)
class SupportDescriptors(Descriptors):
    """A described support; an empty one (no foreground at all) takes the classic path."""

    empty: bool


class NetworkOutput(NamedTuple):
    """Predictions of a batch of episodes and what the losses need.

    Attributes:
        probabilities: Background and foreground probability of every query pixel.
        alignment: The same for the support, predicted from the query and its prediction.
        alignment_valid: False if no foreground was predicted, so that there is nothing to align.
        support: Descriptors of the support, from its masks.
        query: Descriptors of the queries, from their predictions.
    """

    probabilities: Float[Tensor, "batch query 2 h w"]
    alignment: Float[Tensor, "batch shot 2 h w"]
    alignment_valid: Bool[Tensor, " batch"]
    support: Descriptors
    query: Descriptors


@dataclass(frozen=True)
class _Encoded:
    """Encoded slices of a batch of episodes; deep maps only if there is a threshold."""

    deep: Float[Tensor, "batch n d hf wf"] | None
    features: Float[Tensor, "batch n c hf wf"]
    positions: Float[Tensor, "batch n hf wf c"]

    def slices(self, start: int, stop: int | None) -> _Encoded:
        """Some slices of every episode."""
        return _Encoded(
            None if self.deep is None else self.deep[:, start:stop],
            self.features[:, start:stop],
            self.positions[:, start:stop],
        )


class GMRD(nn.Module):
    """Few-shot segmentation by multiple representative descriptors.

    :func:`gmrd.nn.build_network` builds it from plain values.

    Args:
        encoder: shared by support and query: slices (n, h, w) to features (n, c, hf, wf). Empty
            supports need an encoder with ``threshold``, ``deep`` and ``reduce``, like
            :class:`gmrd.nn.encoder.Encoder`.
        foreground: generates the K descriptors of a region.
        background: the same for its surroundings.
        foreground_decoder: K + 2 affinity maps to logits, see :mod:`gmrd.nn.decoders`.
        background_decoder: the same for the background's maps.
        matching: dense matching, whose maps both decoders also get; None for none.
        image_size: slice size in pixels.
        boundary: the background's boundary feature: ``published`` | ``ring``.
        fill: how positions outside a region are filled in training.
        evaluation_fill: how they are filled otherwise.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        foreground: DescriptorGenerator,
        background: DescriptorGenerator,
        foreground_decoder: nn.Module,
        background_decoder: nn.Module,
        matching: DenseMatching | None = None,
        image_size: int,
        boundary: str,
        fill: Fill,
        evaluation_fill: Fill,
    ) -> None:
        super().__init__()
        self.image_size, self.boundary = image_size, boundary
        self.fill, self.evaluation_fill = fill, evaluation_fill
        self.encoder = encoder
        self.foreground, self.background = foreground, background
        self.foreground_decoder = foreground_decoder
        self.background_decoder = background_decoder
        self.matching = matching

    def forward(self, episode: Episode) -> NetworkOutput:
        """Predict the queries from the supports, and the supports from those predictions.

        Raises:
            InputError: slices of another size, or an empty support without a threshold.
        """
        n_shot = episode.support_images.shape[1]
        # One batch, so that the encoder's normalisation includes support and query.
        both = self._encode(torch.cat([episode.support_images, episode.query_images], dim=1))
        support_slices, query_slices = both.slices(0, n_shot), both.slices(n_shot, None)

        support = self._describe(support_slices, episode.support_masks)
        probabilities = self._predict(query_slices, support)
        if episode.any_empty_support:
            empty = ~episode.support_masks.flatten(1).any(dim=1)
            classic = self._predict_classic(query_slices, support)
            probabilities = torch.where(empty[:, None, None, None, None], classic, probabilities)

        predicted = probabilities.detach().argmax(dim=2).to(episode.support_masks.dtype)
        query = self._describe(query_slices, predicted)
        return NetworkOutput(
            probabilities=probabilities,
            alignment=self._predict(support_slices, query),
            alignment_valid=predicted.flatten(1).any(dim=1),
            support=support,
            query=query,
        )

    def describe(
        self,
        support_images: Float[Tensor, "batch shot h w"],
        support_masks: Float[Tensor, "batch shot h w"],
    ) -> SupportDescriptors:
        """Describe one support (a batch of one), for any number of later predictions."""
        described = self._describe(self._encode(support_images), support_masks)
        return _as_support(described, support_masks)

    def describe_classes(
        self,
        support_images: Float[Tensor, "1 shot h w"],
        support_masks: Float[Tensor, "way shot h w"],
    ) -> list[SupportDescriptors]:
        """Describe several classes of one support; its slices are encoded once."""
        encoded = self._encode(support_images)
        return [
            _as_support(self._describe(encoded, mask[None]), mask[None]) for mask in support_masks
        ]

    def predict(
        self, query_images: Float[Tensor, "n h w"], descriptors: list[SupportDescriptors]
    ) -> list[Float[Tensor, "n h w"]]:
        """Foreground probability of the slices against each support (n-way prediction).

        The slices are encoded once, whatever the number of supports.
        """
        encoded = self._encode(query_images[None])
        return [
            (self._predict_classic if support.empty else self._predict)(encoded, support)[0, :, 1]
            for support in descriptors
        ]

    def _encode(self, images: Float[Tensor, "batch n h w"]) -> _Encoded:
        if images.shape[-1] != self.image_size or images.shape[-2] != self.image_size:
            raise InputError(
                f"slices are {images.shape[-2]} x {images.shape[-1]}, but the network was built "
                f"for {self.image_size} x {self.image_size}: resize them or set image_size"
            )
        flat, sizes, encoder = images.flatten(0, 1), images.shape[:2], cast("Encoder", self.encoder)
        deep = None if self._threshold is None else encoder.deep(flat)
        features = encoder(flat) if deep is None else encoder.reduce(deep)
        return _Encoded(
            None if deep is None else torch.unflatten(deep, 0, sizes),
            torch.unflatten(features, 0, sizes),
            torch.unflatten(unit_positions(features), 0, sizes),
        )

    @property
    def _threshold(self) -> nn.Module | None:
        return getattr(self.encoder, "threshold", None)

    def _describe(self, slices: _Encoded, masks: Float[Tensor, "batch n h w"]) -> Descriptors:
        """Descriptors of both regions, averaged over the slices of each episode."""
        fill = self.fill if self.training else self.evaluation_fill
        flat, mask = slices.features.flatten(0, 1), masks.flatten(0, 1)
        regions = (
            (self.foreground, mask, foreground_boundary(mask)),
            (self.background, 1 - mask, background_boundary(mask, self.boundary)),
        )
        rows = [generator(flat, region, edge, fill) for generator, region, edge in regions]
        inner, outer = (torch.unflatten(r, 0, masks.shape[:2]).mean(dim=1) for r in rows)
        cells = None if self.matching is None else self.matching.cells(slices.positions, masks)
        return Descriptors(inner, outer, cells)

    def _predict(
        self, slices: _Encoded, descriptors: Descriptors
    ) -> Float[Tensor, "batch n 2 h w"]:
        """Background and foreground probability on the slices of each episode."""
        positions, n = slices.positions.flatten(0, 1), slices.positions.shape[1]
        regions = (
            (self.background_decoder, descriptors.background),
            (self.foreground_decoder, descriptors.foreground),
        )
        maps = [affinity_maps(positions, rows.repeat_interleave(n, dim=0)) for _, rows in regions]
        matched = None
        if self.matching is not None and descriptors.cells is not None:
            matched = self.matching(positions, descriptors.cells.repeated(n))
            maps = [torch.cat([of_path, matched], dim=1) for of_path in maps]
        decoded = [decoder(of_path) for (decoder, _), of_path in zip(regions, maps, strict=True)]
        logits = at_least_float32(torch.stack(decoded, dim=1))
        if self.matching is not None and matched is not None:
            logits = logits + self.matching.logits(matched)
        full = upsample(logits, (self.image_size,) * 2)
        return torch.unflatten(full.softmax(dim=1), 0, (-1, n))

    def _predict_classic(
        self, slices: _Encoded, support: Descriptors
    ) -> Float[Tensor, "batch n 2 h w"]:
        """The classic path: similarity to the mean foreground feature against a threshold."""
        if self._threshold is None or slices.deep is None:
            raise InputError(
                "a support mask is empty, and this network was built without the threshold that "
                "such an episode needs: set with_threshold=true, or exclude the episode"
            )
        positions, n = slices.positions.flatten(0, 1), slices.positions.shape[1]
        mean = support.foreground[:, -2:-1].repeat_interleave(n, dim=0)
        threshold = at_least_float32(self._threshold(slices.deep.flatten(0, 1)))
        distance = -COSINE_SCALE * affinity_maps(positions, mean) - threshold[:, None, None, None]
        foreground = upsample(1 - torch.sigmoid(0.5 * distance), (self.image_size, self.image_size))
        return torch.unflatten(torch.cat([1 - foreground, foreground], dim=1), 0, (-1, n))


def _as_support(described: Descriptors, masks: Float[Tensor, "1 shot h w"]) -> SupportDescriptors:
    """Descriptors with whether the support shows anything of its class."""
    return SupportDescriptors(
        described.foreground, described.background, described.cells, empty=not bool(masks.any())
    )
