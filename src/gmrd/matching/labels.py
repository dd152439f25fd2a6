"""From probabilities to a label map: which organ, whether at all, and which pieces of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt
from scipy import ndimage

THRESHOLD = 0.38
"""Probability from which the most probable organ has a voxel. Below one half: what is matched
softly spreads an organ's probability beyond its edge, and takes as much away within."""
PIECE = 0.1
"""Share of an organ that makes a piece of it one of its own."""
CANDIDATE = 0.03
"""Share of the greatest evidence from which another piece may be the organ instead."""
MOST_CANDIDATES = 4
TOUCHING = np.ones((3, 3, 3), dtype=bool)


def most_probable(
    probabilities: Float32[np.ndarray, "k z y x"], values: Sequence[int]
) -> UInt[np.ndarray, "z y x"]:
    """The label value of the most probable organ of each voxel, 0 below :data:`THRESHOLD`.

    Args:
        probabilities: of every organ.
        values: the organs' label values.
    """
    named = np.array(values, dtype=np.min_scalar_type(max(values)))
    labels = named[probabilities.argmax(axis=0)]
    labels[probabilities.max(axis=0) <= THRESHOLD] = 0
    return np.asarray(labels)


def evident_pieces(
    mask: Bool[np.ndarray, "z y x"], probability: Float32[np.ndarray, "z y x"]
) -> list[Bool[np.ndarray, "z y x"]]:
    """Connected pieces that may be the organ, the one with the most evidence first.

    Evidence is the sum of P⁴, so that a faint large piece does not outweigh the organ; pieces
    with less than :data:`CANDIDATE` of the greatest are crumbs.
    """
    pieces, found = ndimage.label(mask, structure=TOUCHING)
    if found == 0:
        return []
    weights = probability[mask].astype(np.float64) ** 4
    evidence = np.bincount(pieces[mask], weights=weights, minlength=found + 1)
    ordered = np.argsort(-evidence, kind="stable")
    kept = [place for place in ordered if evidence[place] > CANDIDATE * evidence[ordered[0]]]
    return [pieces == place for place in kept[:MOST_CANDIDATES]]


def count_pieces(mask: Bool[np.ndarray, "z y x"] | Int[np.ndarray, "z y x"]) -> int:
    """How many pieces an annotated organ has, without crumbs; at least 1."""
    pieces, _ = ndimage.label(mask, structure=TOUCHING)
    sizes = np.bincount(pieces.ravel())[1:]
    return max(1, int((sizes >= PIECE * sizes.sum()).sum()))
