"""Organs made comparable by how similar each is to its counterpart in another person.

Two kidneys resemble each other more than two spleens do, and a spleen may resemble another person's
kidney as much as that person's spleen. So an organ's similarities are compared with those of its
best matches, as in cross-domain similarity local scaling (Conneau et al., 2018), which reduces a
cosine by half the mean cosine of the nearest neighbours in the other domain. Here that mean is
taken over an organ.
"""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor

from gmrd.matching.dense import Annotated
from gmrd.matching.kernel import TEMPERATURE
from gmrd.matching.tokens import TokenGrid

N_NEAREST = 5
MOST_CELLS = 400
"""An organ with more cells is represented by evenly drawn ones."""
WITHIN = 0.7
"""Cells with less than this share of the fullest cell's are an organ's edge."""


def local_scaling(query: TokenGrid, support: Annotated) -> Float32[Tensor, " k"]:
    """Factor on each organ's evidence against that of the other organs.

    Args:
        query: coarse tokens.
        support: coarse cells.
    """
    tokens = query.tokens[query.body]
    organs = range(support.shares.shape[-1])
    similarity = torch.stack([_nearest(support, organ, tokens) for organ in organs])
    return torch.exp(-TEMPERATURE / 2 * (similarity - similarity.mean()))


def _nearest(support: Annotated, organ: int, tokens: Float32[Tensor, "n c"]) -> Tensor:
    """Mean cosine of an organ's cells and their nearest neighbours in the query."""
    share = support.shares[..., organ] * support.grid.body
    own = support.grid.tokens[share > WITHIN * share.max()]
    own = own[:: -(-len(own) // MOST_CELLS) or 1]
    if not len(own) or not len(tokens):
        return torch.zeros(())
    return (own @ tokens.T).topk(min(N_NEAREST, len(tokens)), dim=1).values.mean()
