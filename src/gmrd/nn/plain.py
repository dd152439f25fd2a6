"""The network step by step, following the paper's equations: read it with the paper.

It is the reference for testing and timing the lean network. Features are upsampled to the slice's
size and filled position by position, every descriptor generator uses all pixel positions, supports
are encoded again for every query slice, and every image goes through layer4. It uses the weights
of a ``GMRD``, so both give the same results.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gmrd.nn.descriptors import DescriptorGenerator, background_boundary, foreground_boundary
from gmrd.nn.network import GMRD, Descriptors, NetworkOutput
from gmrd.types import Episode


class PlainNetwork(nn.Module):
    """One episode, one shot, one query, with the weights of a GMRD.

    Args:
        network: built ``with_threshold=True`` and a bottleneck ResNet; it is modified, and its
            stages become torchvision's.
    """

    def __init__(self, network: GMRD) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.contiguous_format)
        for name in ("layer1", "layer2", "layer3"):
            setattr(network.encoder, name, nn.Sequential(*getattr(network.encoder, name)))

    def encode(self, images: Float[Tensor, "n h w"]) -> Float[Tensor, "n c hf wf"]:
        """Features of every slice."""
        encoder: Any = self.network.encoder
        deep = encoder.stem(images.unsqueeze(1).expand(-1, 3, -1, -1).contiguous())
        deep = encoder.layer3(encoder.layer2(encoder.layer1(deep)))
        encoder.threshold(deep)  # always run, read only where a support is empty
        features: Tensor = encoder.reduce(deep)
        return features

    def describe(
        self, features: Float[Tensor, "c hf wf"], mask: Float[Tensor, "h w"]
    ) -> Descriptors:
        """Descriptors of one slice by its mask."""
        full = F.interpolate(features[None], mask.shape, mode="bilinear", align_corners=True)[0]
        edge = foreground_boundary(mask[None])[0]
        outer = background_boundary(mask[None], self.network.boundary)[0]
        return Descriptors(
            self._generate(self.network.foreground, full, mask, edge)[None],
            self._generate(self.network.background, full, 1 - mask, outer)[None],
        )

    def _generate(
        self,
        generator: DescriptorGenerator,
        full: Float[Tensor, "c h w"],
        region: Float[Tensor, "h w"],
        boundary: Float[Tensor, "h w"],
    ) -> Float[Tensor, "rows c"]:
        filled = fill(full.flatten(1), region.flatten() > 0.5)
        hidden = generator.dropout(generator.positions(filled))
        rows = generator.mix(generator.activation(hidden)).T
        means = [(full * m).sum(dim=(1, 2)) / (m.sum() + 1e-5) for m in (region, boundary)]
        return torch.cat([rows, torch.stack(means)])

    def decode(
        self, features: Float[Tensor, "c hf wf"], described: Descriptors, size: tuple[int, int]
    ) -> Float[Tensor, "2 h w"]:
        """Background and foreground probability of one slice."""
        logits = [
            self._logit(self.network.background_decoder, features, described.background[0]),
            self._logit(self.network.foreground_decoder, features, described.foreground[0]),
        ]
        full = F.interpolate(torch.stack(logits)[None], size, mode="bilinear", align_corners=True)
        return full[0].softmax(dim=0)

    def _logit(self, decoder: nn.Module, features: Tensor, rows: Tensor) -> Tensor:
        cosines = F.normalize(rows, dim=1) @ F.normalize(features.flatten(1), dim=0)
        logits: Tensor = decoder(torch.unflatten(cosines, 1, features.shape[1:])[None])
        return logits[0]

    def forward(self, episode: Episode) -> NetworkOutput:
        """One episode, one shot, one query."""
        images = torch.cat([episode.support_images[0], episode.query_images[0]])
        support_features, query_features = self.encode(images)
        size = (images.shape[1], images.shape[2])
        support = self.describe(support_features, episode.support_masks[0, 0])
        probabilities = self.decode(query_features, support, size)
        predicted = probabilities.detach().argmax(dim=0).to(images.dtype)
        query = self.describe(query_features, predicted)
        alignment = self.decode(support_features, query, size)
        return NetworkOutput(
            probabilities[None, None], alignment[None, None], predicted.any()[None], support, query
        )

    def predict(
        self, support: Float[Tensor, "h w"], mask: Float[Tensor, "h w"], query: Float[Tensor, "h w"]
    ) -> Float[Tensor, "h w"]:
        """Foreground probability of one query slice; the support is encoded with it."""
        support_features, query_features = self.encode(torch.stack([support, query]))
        described = self.describe(support_features, mask)
        return self.decode(query_features, described, (query.shape[0], query.shape[1]))[1]


def fill(full: Float[Tensor, "c hw"], inside: Bool[Tensor, " hw"]) -> Float[Tensor, "c hw"]:
    """Positions outside the region take the features inside it in turn."""
    positions = inside.nonzero().flatten()
    filled = torch.zeros_like(full)
    if len(positions):
        turn = torch.arange(int((~inside).sum())) % len(positions)
        filled[:, inside] = full[:, inside]
        filled[:, ~inside] = full[:, positions[turn.to(positions.device)]]
    return filled
