"""The network as its equations say it, step by step: what the lean one is measured against.

Features are upsampled to the slice's size and filled position by position, every descriptor
generator sees all pixel positions, supports are encoded again for every query slice, and every
image goes through layer4. Weights are those of a ``GMRD``, so both compute the same numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmrd.losses import GMRDLoss
from gmrd.nn import GMRD, Descriptors, NetworkOutput
from gmrd.nn.affinity import AffinityDecoder
from gmrd.nn.descriptors import DescriptorGenerator, background_boundary, foreground_boundary
from gmrd.types import Episode


class PlainNetwork(nn.Module):
    """Plain eager float32 port with a GMRD's weights (built with_threshold)."""

    def __init__(self, network: GMRD) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.contiguous_format)
        for name in ("layer1", "layer2", "layer3"):
            setattr(network.encoder, name, nn.Sequential(*getattr(network.encoder, name)))

    def encode(self, images: Tensor) -> Tensor:
        encoder = self.network.encoder
        deep = encoder.stem(images.unsqueeze(1).expand(-1, 3, -1, -1).contiguous())
        deep = encoder.layer3(encoder.layer2(encoder.layer1(deep)))
        encoder.threshold(deep)  # always run, read only where a support is empty
        return encoder.reduce(deep)

    def describe(self, features: Tensor, mask: Tensor) -> Descriptors:
        """Descriptors of one slice: features (c, hf, wf), mask (h, w)."""
        full = F.interpolate(features[None], mask.shape, mode="bilinear", align_corners=True)[0]
        edge = foreground_boundary(mask[None])[0]
        outer = background_boundary(mask[None], self.network.boundary)[0]
        return Descriptors(
            self._generate(self.network.foreground, full, mask, edge)[None],
            self._generate(self.network.background, full, 1 - mask, outer)[None],
        )

    def _generate(
        self, generator: DescriptorGenerator, full: Tensor, region: Tensor, boundary: Tensor
    ) -> Tensor:
        filled = fill(full.flatten(1), region.flatten() > 0.5)
        hidden = generator.dropout(generator.positions(filled))
        rows = generator.mix(generator.activation(hidden)).T
        means = [(full * m).sum(dim=(1, 2)) / (m.sum() + 1e-5) for m in (region, boundary)]
        return torch.cat([rows, torch.stack(means)])

    def decode(self, features: Tensor, described: Descriptors, size: tuple[int, int]) -> Tensor:
        """Probabilities (2, h, w) of one slice."""
        logits = [
            self._logit(self.network.background_decoder, features, described.background[0]),
            self._logit(self.network.foreground_decoder, features, described.foreground[0]),
        ]
        full = F.interpolate(torch.stack(logits)[None], size, mode="bilinear", align_corners=True)
        return full[0].softmax(dim=0)

    def _logit(self, decoder: AffinityDecoder, features: Tensor, rows: Tensor) -> Tensor:
        cosines = F.normalize(rows, dim=1) @ F.normalize(features.flatten(1), dim=0)
        return decoder(cosines.unflatten(1, features.shape[1:])[None])[0]

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

    def predict(self, support: Tensor, mask: Tensor, query: Tensor) -> Tensor:
        """Foreground probability of one query slice; the support is encoded with it."""
        support_features, query_features = self.encode(torch.stack([support, query]))
        described = self.describe(support_features, mask)
        return self.decode(query_features, described, (query.shape[0], query.shape[1]))[1]


def fill(full: Tensor, inside: Tensor) -> Tensor:
    """Positions outside take the features inside in turn."""
    positions = inside.nonzero().flatten()
    filled = torch.zeros_like(full)
    if len(positions):
        turn = torch.arange(int((~inside).sum())) % len(positions)
        filled[:, inside] = full[:, inside]
        filled[:, ~inside] = full[:, positions[turn.to(positions.device)]]
    return filled


def losses(output: NetworkOutput, episode: Episode) -> dict[str, Tensor]:
    """The same losses."""
    return GMRDLoss()(output, episode)
