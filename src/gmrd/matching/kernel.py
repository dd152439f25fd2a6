"""The similarity kernel of two positions, from their features' cosine and their distance.

The exponent of ``exp(temperature · (cosine − 1) − ½ · Σ (difference / deviation)²)`` is a single
matrix product of extended vectors, so no matrix of distances is needed.
"""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor

TEMPERATURE = 25.0


def extended(
    tokens: Float32[Tensor, "n c"],
    positions: Float32[Tensor, "n 3"],
    deviations: Float32[Tensor, "3"],
    *,
    query: bool,
    temperature: float = TEMPERATURE,
) -> Float32[Tensor, "n e"]:
    """Vectors whose products are the exponents of :func:`resemblance`.

    Args:
        tokens: unit vectors.
        positions: (z, y, x) in mm; on both sides relative to the same nearby point.
        deviations: standard deviations (z, y, x) in mm of the prior on positions.
        query: whether these are the query's side of the product.
        temperature: factor on the cosine.
    """
    scaled = positions / deviations
    half = -0.5 * scaled.square().sum(dim=1, keepdim=True)
    one = torch.ones_like(half)
    if query:
        return torch.cat([temperature * tokens, scaled, half - temperature, one], dim=1)
    return torch.cat([tokens, scaled, one, half], dim=1)


def resemblance(
    query: Float32[Tensor, "n e"], support: Float32[Tensor, "m e"], out: Tensor | None = None
) -> Float32[Tensor, "n m"]:
    """Weight of each support position for each query position, at most 1; written to ``out``."""
    return torch.mm(query, support.T, out=out).exp_()


def weighted_sums(
    weights: Float32[Tensor, "n m"], values: Float32[Tensor, "m k"]
) -> Float32[Tensor, "n k"]:
    """The product of the two matrices, several times as fast if the second has few columns.

    BLAS is slow if the second factor is thin, but fast if the first is.
    """
    return (values.T.contiguous() @ weights.T).T
