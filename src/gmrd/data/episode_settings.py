"""How episodes are drawn, whatever the data set and the fold."""

from __future__ import annotations

from dataclasses import dataclass

from gmrd.data.augmentation import Augmentation
from gmrd.errors import refuse_below_one


@dataclass(frozen=True, kw_only=True)
class EpisodeSettings:
    """Size, number and draws of the episodes.

    Attributes:
        image_size: Side of the training slices; other sizes are resized.
        n_query: Query slices of an episode.
        min_area: Least area of the class in one slice of an episode, in pixels.
        held_out_fraction: Share of the supervoxels that only validation episodes use.
        augmentation: Random transforms; None for none.
        seed: Seed of the episodes.
        n_episodes: Episodes of an epoch.
        n_validation_episodes: Validation episodes, always the same; 0 for no validation.
    """

    image_size: int = 256
    n_query: int = 1
    min_area: float | int = 200
    held_out_fraction: float | int = 0.05
    augmentation: Augmentation | None = None
    seed: int = 0
    n_episodes: int = 1000
    n_validation_episodes: int = 100

    def __post_init__(self) -> None:
        names = ("n_episodes", "n_query", "image_size")
        refuse_below_one(**{f"data.{name}": getattr(self, name) for name in names})
