"""The shared encoder: a ResNet whose layer3 keeps an output stride of 4 (paper, section III-B).

The strides of layer2 and layer3 are replaced by dilation, so a 256 x 256 slice gives 64 x 64
features; a 1 x 1 convolution reduces them to ``n_features`` channels. layer4 and the classifier
are only for the per-image threshold of the classic path, for episodes with an empty support mask.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import resnet

from gmrd.nn.bottleneck import LeanStage

Backbone = Literal["resnet18", "resnet34", "resnet50", "resnet101"]
ProjectionStart = Literal["kaiming", "uniform"]

BACKBONES = {
    "resnet18": (resnet.BasicBlock, (2, 2, 2, 2)),
    "resnet34": (resnet.BasicBlock, (3, 4, 6, 3)),
    "resnet50": (resnet.Bottleneck, (3, 4, 6, 3)),
    "resnet101": (resnet.Bottleneck, (3, 4, 23, 3)),
}


class Threshold(nn.Module):
    """layer4, average pooling and two linear layers: one threshold per image.

    No loss of a normal episode depends on these parameters, so they are not trained.
    """

    def __init__(self, layer4: nn.Sequential, fc: nn.Linear) -> None:
        super().__init__()
        self.n_channels = fc.in_features
        self.layer4 = layer4
        self.fc = fc
        self.linear = nn.Linear(fc.out_features, 1)
        self.requires_grad_(False)

    def forward(self, deep: Float[Tensor, "n d h w"]) -> Float[Tensor, " n"]:
        """The threshold of every image, from the encoder's layer3 maps."""
        pooled = self.layer4(deep).mean(dim=(2, 3))
        threshold: Tensor = self.linear(self.fc(pooled)).squeeze(1)
        return threshold


class Encoder(nn.Module):
    """Greyscale slices to features at a quarter of their resolution.

    Args:
        backbone: which ResNet.
        n_features: channels of the features (512 in the paper).
        with_threshold: create layer4 and the classifier, for episodes without support.
        projection_start: initial weights of the 1 x 1 convolution: ``kaiming`` (normal with
            standard deviation sqrt(2 / n_features), as in the public code) or ``uniform``
            (PyTorch's default, 3.46 times smaller for 1024 to 512 channels). Cosines do not depend
            on the scale of the features, but their gradients do: with the smaller initialisation
            SGD changes them about 12 times faster.
    """

    def __init__(
        self,
        *,
        backbone: Backbone,
        n_features: int,
        with_threshold: bool,
        projection_start: ProjectionStart = "kaiming",
    ) -> None:
        super().__init__()
        block, depths = BACKBONES[backbone]
        net = resnet.ResNet(block, list(depths))
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        stage = LeanStage if block is resnet.Bottleneck else nn.Sequential
        self.layer1 = stage(*net.layer1)
        self.layer2 = stage(*_dilate(net.layer2, first=1, rest=2))
        self.layer3 = stage(*_dilate(net.layer3, first=2, rest=4))
        self.reduce = nn.Conv2d(256 * block.expansion, n_features, 1, bias=False)
        if projection_start == "kaiming":
            nn.init.kaiming_normal_(self.reduce.weight, mode="fan_out", nonlinearity="relu")
        self.threshold = (
            Threshold(_dilate(net.layer4, first=4, rest=4, stride=2), net.fc)
            if with_threshold
            else None
        )

    def forward(self, images: Float[Tensor, "n h w"]) -> Float[Tensor, "n c hf wf"]:
        """Features of every slice."""
        features: Tensor = self.reduce(self.deep(images))
        return features

    def deep(self, images: Float[Tensor, "n h w"]) -> Float[Tensor, "n d hf wf"]:
        """The layer3 maps, from which the features and the threshold are computed."""
        rgb = images.unsqueeze(1).expand(-1, 3, -1, -1)
        maps: Tensor = self.stem(rgb.contiguous(memory_format=torch.channels_last))
        for layer in (self.layer1, self.layer2, self.layer3):
            maps = layer(maps)
        return maps


def _dilate(layer: nn.Sequential, *, first: int, rest: int, stride: int = 1) -> nn.Sequential:
    """Set the dilation of a stage's 3 x 3 convolutions and the stride of its first block.

    torchvision supports this for bottleneck blocks only; here it also works for basic blocks.
    """
    for i, block in enumerate(layer):
        dilation = first if i == 0 else rest
        for conv in (m for m in block.modules() if isinstance(m, nn.Conv2d)):
            if max(conv.stride) > 1:
                conv.stride = (stride, stride)
            if conv.kernel_size == (3, 3):
                conv.dilation = conv.padding = (dilation, dilation)
    return layer
