"""Stretches of neighbouring slices that can form an episode of a pseudo-class."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

Draw = Literal["even", "rejection"]


@dataclass(frozen=True)
class Stretches:
    """Stretches of ``length`` slices that all hold a label, grouped by label.

    Attributes:
        labels: The labels that have a stretch, ascending.
        starts: First slices of each label's stretches.
        length: Slices in a stretch.
        acceptance: Of each label, the share of its stretches that are large enough.
    """

    labels: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]
    length: int
    acceptance: tuple[float, ...] = ()

    def draw(self, rng: np.random.Generator, rule: Draw = "even") -> tuple[int, int]:
        """A label and the first slice of one of its stretches, drawn uniformly.

        Args:
            rng: Random numbers.
            rule: ``even``: all labels equally often. ``rejection``: as if a label and a stretch of
                any area were drawn until the stretch is large enough, as in the public code; a
                label's frequency is then proportional to its acceptance.
        """
        if rule == "even":
            chosen = int(rng.integers(len(self.labels)))
        else:
            weights = np.array(self.acceptance)
            chosen = int(rng.choice(len(weights), p=weights / weights.sum()))
        return self.labels[chosen], int(rng.choice(self.starts[chosen]))


def find_stretches(
    areas: Int[np.ndarray, "z labels"],
    usable: Bool[np.ndarray, " z"],
    keep: Bool[np.ndarray, " labels"],
    *,
    length: int,
    min_area: float,
) -> Stretches:
    """All stretches of neighbouring usable slices that hold a label throughout.

    Args:
        areas: Pixels of every label in every slice.
        usable: Slices that training may see.
        keep: Labels to consider; label 0 is background and never considered.
        length: Slices in a stretch: support and query slices together.
        min_area: Least area of the label in at least one slice of the stretch, in pixels.
    """
    n = len(areas) - length + 1
    if n <= 0:
        return Stretches((), (), length)
    stretches = np.lib.stride_tricks.sliding_window_view(areas * usable[:, None], length, axis=0)
    held = (stretches > 0).all(axis=-1) & keep
    held[:, 0] = False
    valid = held & (stretches.max(axis=-1) >= min_area)
    labels = np.flatnonzero(valid.any(axis=0))
    starts = tuple(tuple(np.flatnonzero(valid[:, label]).tolist()) for label in labels)
    acceptance = valid[:, labels].sum(axis=0) / held[:, labels].sum(axis=0)
    return Stretches(tuple(labels.tolist()), starts, length, tuple(acceptance.tolist()))


def held_out(case_id: str, n_labels: int, fraction: float) -> Bool[np.ndarray, " labels"]:
    """Which pseudo-labels of a case are held out for validation; always the same ones."""
    rng = np.random.default_rng(zlib.crc32(case_id.encode()))
    return rng.random(n_labels) < fraction
