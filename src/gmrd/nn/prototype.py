"""The baseline: one prototype per region.

It is masked average pooling as in PANet (Wang et al., ICCV 2019): the mean feature of the
support's foreground and of its background, and each query pixel takes the nearer one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gmrd.nn.affinity import COSINE_SCALE


class Prototypes(NamedTuple):
    """Mean features of the support's regions."""

    foreground: Float[Tensor, " c"]
    background: Float[Tensor, " c"]


class PrototypeMatching(nn.Module):
    """Segments with a trained encoder and one prototype per region; nothing else is learned.

    Args:
        encoder: maps slices (n, h, w) to features (n, c, hf, wf), as ``gmrd.nn.encoder`` does.
        image_size: slice size in pixels.
    """

    def __init__(self, encoder: nn.Module, *, image_size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.image_size = image_size

    def describe(
        self,
        support_images: Float[Tensor, "1 shot h w"],
        support_masks: Float[Tensor, "1 shot h w"],
    ) -> Prototypes:
        """Pool the support's features over both regions and all shots."""
        features = self.encoder(support_images[0])
        masks = F.interpolate(support_masks[0][:, None], size=features.shape[-2:], mode="area")
        return Prototypes(_pool(features, masks), _pool(features, 1 - masks))

    def predict(
        self, query_images: Float[Tensor, "n h w"], descriptors: list[Prototypes]
    ) -> list[Float[Tensor, "n h w"]]:
        """Foreground probability of every slice for every class."""
        features = self.encoder(query_images)
        return [self._match(features, prototypes) for prototypes in descriptors]

    def _match(
        self, features: Float[Tensor, "n c hf wf"], prototypes: Prototypes
    ) -> Float[Tensor, "n h w"]:
        both = torch.stack([prototypes.background, prototypes.foreground])[:, :, None, None]
        cosines = torch.stack([F.cosine_similarity(features, row, dim=1) for row in both], dim=1)
        size = (self.image_size, self.image_size)
        logits = F.interpolate(
            COSINE_SCALE * cosines, size=size, mode="bilinear", align_corners=True
        )
        return logits.softmax(dim=1)[:, 1]


def _pool(
    features: Float[Tensor, "shot c hf wf"], masks: Float[Tensor, "shot 1 hf wf"]
) -> Float[Tensor, " c"]:
    return (features * masks).sum(dim=(0, 2, 3)) / (masks.sum() + 1e-5)
