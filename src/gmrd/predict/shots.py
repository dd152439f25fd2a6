"""One-shot results, and their mean over K annotated scans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

SURENESS = 0.1
"""Of two supports whose organ's estimated Dice differs by this, one weighs e times the other."""


@dataclass(frozen=True)
class OneShot:
    """What a single annotated scan finds in a query.

    Attributes:
        probabilities: of every organ, on the query's working slices.
        estimated: the Dice to expect of every organ; 0 where nothing was found.
        similarity: of the two scans as aligned, see :class:`gmrd.matching.alignment.Alignment`.
        consistency: mean cycle consistency, 0 to 1.
        mirrored: whether the query is more similar to the support when mirrored.
    """

    probabilities: Float32[np.ndarray, "k z y x"]
    estimated: Float64[np.ndarray, " k"]
    similarity: float
    consistency: float
    mirrored: bool


class ShotMean:
    """Organs' probabilities averaged over supports, those that found an organ better weighing more.

    Matched jointly, one support in whose place for the spleen lay a stomach undid what the other
    had right. The first support's weights are 1, so that of a single support the mean is what it
    found.
    """

    def __init__(self) -> None:
        self.total: Float32[np.ndarray, "k z y x"] | None = None
        self.scores: list[Float64[np.ndarray, " k"]] = []
        self.consistency: list[float] = []
        self._nearest: tuple[float, bool] | None = None

    def add(self, shot: OneShot) -> None:
        """Add what a support found; its probabilities are overwritten."""
        self.scores.append(shot.estimated)
        self.consistency.append(shot.consistency)
        if self._nearest is None or shot.similarity > self._nearest[0]:
            self._nearest = shot.similarity, shot.mirrored
        if self.total is None:
            self.total = shot.probabilities
        else:
            weighted = shot.probabilities
            weighted *= _by_organ(self._weights()[-1])
            self.total += weighted

    @property
    def mirrored(self) -> bool:
        """Whether the query is more similar to the most similar support when mirrored."""
        return self._nearest is not None and self._nearest[1]

    def probabilities(self) -> Float32[np.ndarray, "k z y x"]:
        """The weighted mean."""
        assert self.total is not None
        self.total /= _by_organ(self._weights().sum(axis=0))
        return self.total

    def estimated(self) -> Float64[np.ndarray, " k"]:
        """The weighted mean of the estimated Dice."""
        mean: Float64[np.ndarray, " k"] = np.average(self.scores, axis=0, weights=self._weights())
        return mean

    def _weights(self) -> Float64[np.ndarray, "n k"]:
        weights: Float64[np.ndarray, "n k"] = np.exp(
            (np.stack(self.scores) - self.scores[0]) / SURENESS
        )
        return weights


def _by_organ(values: Float64[np.ndarray, " k"]) -> Float32[np.ndarray, "k 1 1 1"]:
    return values.astype(np.float32)[:, None, None, None]
