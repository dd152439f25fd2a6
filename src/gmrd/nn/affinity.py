"""Affinity maps: similarity of each position to each descriptor (paper, section III-D)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gmrd.nn.pooling import at_least_float32, without_autocast

COSINE_SCALE = 20.0
"""Factor that turns a cosine into a logit without a learned decoder.

Cosines lie in [-1, 1], so their sigmoid or softmax would never be confident. The factor 20 is from
PANet (Wang et al., ICCV 2019) and usual in the field; the paper's path for an empty support uses
it, too.
"""


def unit_positions(features: Float[Tensor, "n c hf wf"]) -> Float[Tensor, "n hf wf c"]:
    """Features normalised to length 1 at every position, in float32, channels last."""
    return F.normalize(at_least_float32(features.permute(0, 2, 3, 1)), dim=3)


def affinity_maps(
    positions: Float[Tensor, "n hf wf c"], descriptors: Float[Tensor, "n k c"]
) -> Float[Tensor, "n k hf wf"]:
    """Cosine of each position's feature with each descriptor (channels-last memory).

    Args:
        positions: from :func:`unit_positions`.
        descriptors: of any length.
    """
    unit_descriptors = F.normalize(descriptors, dim=2)
    with without_autocast(positions):
        flat = positions.flatten(1, 2) @ unit_descriptors.mT
    return torch.unflatten(flat, 1, positions.shape[1:3]).permute(0, 3, 1, 2)
