"""A compact pretrained encoder for CPUs: EfficientNet-Lite, its deeper stages tuned."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gmrd.nn.affinity import unit_positions
from gmrd.nn.lite import lite_encoder
from gmrd.values.kinds import Count, Natural, Positive


class LiteFeatures(nn.Module):
    """Greyscale slices to features at an eighth of their resolution, or of a multiple of it.

    Two levels are joined, each as unit vectors less their mean over the slice: what all of a
    slice looks like does not tell its organs apart. The projection starts as the identity, so
    the cosines of an untrained network are those of the ImageNet features.

    Args:
        name: ``lite0`` | ``lite1`` | ``lite2``; the weights come as an installed package.
        n_frozen: stages, with the stem, that keep their ImageNet weights. Normalisation keeps
            its statistics and factors in all of them: an episode has too few slices for its own.
        level_weights: of the shallower and the deeper level in a cosine.
        enlarged: times that a slice is enlarged before it is encoded; 2 gives cells half as
            large and takes four times as long.
    """

    def __init__(
        self,
        *,
        name: Literal["lite0", "lite1", "lite2"] = "lite0",
        n_frozen: Natural = 2,
        level_weights: tuple[Positive, Positive] = (0.5, 1.0),
        enlarged: Count = 1,
    ) -> None:
        super().__init__()
        self.level_weights, self.enlarged = tuple(level_weights), enlarged
        self.backbone = lite_encoder(name)
        stages = list(self.backbone.blocks)  # type: ignore[arg-type]
        for stage in stages[n_frozen:]:
            stage.requires_grad_(True)
        for layer in self.backbone.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.requires_grad_(False)
        n_channels = sum(self.backbone.feature_info.channels())  # type: ignore[operator, union-attr]
        self.project = nn.Conv2d(n_channels, n_channels, 1, bias=False)
        nn.init.dirac_(self.project.weight)

    def train(self, mode: bool = True) -> LiteFeatures:
        """Training leaves the normalisation as it is."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images: Float[Tensor, "n h w"]) -> Float[Tensor, "n c hf wf"]:
        """Features of every slice."""
        large = images[:, None]
        if self.enlarged > 1:
            large = F.interpolate(large, scale_factor=float(self.enlarged), mode="bilinear")
        levels = self.backbone(large.expand(-1, 3, -1, -1))
        pairs = zip(levels, self.level_weights, strict=True)
        projected: Tensor = self.project(torch.cat([_centred(f, w) for f, w in pairs], dim=1))
        return projected


def _centred(features: Float[Tensor, "n c h w"], weight: float) -> Float[Tensor, "n c h w"]:
    """Unit vectors less their mean over the slice, of mean length ``weight``."""
    unit = unit_positions(features).permute(0, 3, 1, 2)
    unit = unit - unit.mean(dim=(2, 3), keepdim=True)
    length = unit.norm(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    scaled: Tensor = unit * (weight / length.clamp(min=1e-6))
    return scaled
