"""From probabilities to a label map, and the connected components of an organ."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt
from scipy import ndimage

THRESHOLD = 0.38
"""A voxel belongs to its most probable organ above this probability. It is below one half, because
soft matching blurs an organ's edge, which lowers the probability inside."""
PIECE = 0.1
"""A component of an annotated organ counts from this share of the organ's volume."""
CANDIDATE = 0.03
"""A component is a candidate from this share of the largest evidence."""
MOST_CANDIDATES = 4
TOUCHING = np.ones((3, 3, 3), dtype=bool)


def most_probable(
    probabilities: Float32[np.ndarray, "k z y x"], values: Sequence[int]
) -> UInt[np.ndarray, "z y x"]:
    """The label value of each voxel's most probable organ, 0 up to :data:`THRESHOLD`.

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
    """Connected components that may be the organ, the one with the most evidence first.

    Evidence is the sum of P⁴, so that a large faint component does not outweigh the organ.
    Components with less than :data:`CANDIDATE` of the largest evidence are dropped.
    """
    pieces, found = ndimage.label(mask, structure=TOUCHING)
    if found == 0:
        return []
    weights = probability[mask].astype(np.float64) ** 4
    evidence = np.bincount(pieces[mask], weights=weights, minlength=found + 1)
    ordered = np.argsort(-evidence, kind="stable")
    kept = [place for place in ordered if evidence[place] > CANDIDATE * evidence[ordered[0]]]
    return [pieces == place for place in kept[:MOST_CANDIDATES]]


def keep_pieces(
    probabilities: Float32[np.ndarray, "k z y x"],
    n_pieces: Sequence[int],
    values: Sequence[int],
    score: Callable[[int, Bool[np.ndarray, "z y x"]], float] | None = None,
) -> None:
    """Set the probability to 0 in components of an organ's label that are too many.

    Args:
        probabilities: of every organ; changed in place.
        n_pieces: how many components to keep of each organ.
        values: the organs' label values.
        score: of an organ's component; those with the highest are kept. None for the evidence.
    """
    labels = most_probable(probabilities, values)
    for organ, (value, probability) in enumerate(zip(values, probabilities, strict=True)):
        mask = labels == value
        found = evident_pieces(mask, probability)
        if score is not None and len(found) > n_pieces[organ]:
            scores = [score(organ, piece) for piece in found]
            found = [found[best] for best in np.argsort(scores)[::-1]]
        kept = [np.zeros_like(mask), *found[: n_pieces[organ]]]
        probability[mask & ~np.any(kept, axis=0)] = 0


def count_pieces(mask: Bool[np.ndarray, "z y x"] | Int[np.ndarray, "z y x"]) -> int:
    """How many components an annotated organ has, without tiny ones; at least 1."""
    pieces, _ = ndimage.label(mask, structure=TOUCHING)
    sizes = np.bincount(pieces.ravel())[1:]
    return max(1, int((sizes >= PIECE * sizes.sum()).sum()))
