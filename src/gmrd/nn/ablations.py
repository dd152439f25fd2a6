"""What the paper's ablations take away from the network (paper, section IV-D)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class BestCosine(nn.Module):
    """In place of MAMP's decoder: the best affinity of a position, scaled, is its logit."""

    def __init__(self, scale: float = 20.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, maps: Float[Tensor, "n k hf wf"]) -> Float[Tensor, "n hf wf"]:
        """The logit at every feature position."""
        return self.scale * maps.amax(dim=1)


class NoPath(nn.Module):
    """In place of the background's decoder: its logit is zero, so the foreground alone decides."""

    def forward(self, maps: Float[Tensor, "n k hf wf"]) -> Float[Tensor, "n hf wf"]:
        """Zero at every feature position."""
        return maps.new_zeros((maps.shape[0], *maps.shape[2:]))


def ablate(network: nn.Module, *, prediction: str, paths: str) -> None:
    """Replace decoders of a GMRD: ``prediction`` mamp | cosine, ``paths`` dual | single."""
    if prediction == "cosine":
        network.foreground_decoder, network.background_decoder = BestCosine(), BestCosine()
    if paths == "single":
        network.background_decoder = NoPath()
