"""How episodes are drawn, independent of data set and fold."""

from __future__ import annotations

from dataclasses import dataclass

from gmrd.data.augmentation import Augmentation
from gmrd.data.stretches import Draw
from gmrd.values.arguments import refuse_wrong_fields
from gmrd.values.kinds import Count, Natural, NonNegative, Seed, Share


@dataclass(frozen=True, kw_only=True)
class EpisodeSettings:
    """Size, number and draws of the episodes.

    Attributes:
        image_size: Side of the training slices; other sizes are resized.
        n_query: Query slices of an episode.
        min_area: Smallest area of the class in at least one slice of an episode, in pixels.
        draw: How supervoxels are drawn, ``even`` | ``rejection``, see
            :meth:`gmrd.data.stretches.Stretches.draw`.
        held_out_fraction: Share of the supervoxels that only validation episodes use.
        augmentation: Random transforms; None to disable them.
        seed: Seed of the episodes.
        n_episodes: Episodes of an epoch.
        n_validation_episodes: Validation episodes, always the same; 0 for no validation.
    """

    image_size: Count = 256
    n_query: Count = 1
    min_area: NonNegative = 200
    draw: Draw = "even"
    held_out_fraction: Share = 0.05
    augmentation: Augmentation | None = None
    seed: Seed = 0
    n_episodes: Count = 1000
    n_validation_episodes: Natural = 100

    def __post_init__(self) -> None:
        refuse_wrong_fields("data", self)
