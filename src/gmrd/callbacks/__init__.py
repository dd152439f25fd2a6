"""Lightning callbacks: what happens beside training, and survives its interruption."""

from gmrd.callbacks.checkpoints import AtomicCheckpointIO, SaveLast
from gmrd.callbacks.episode_pictures import EpisodePictures
from gmrd.callbacks.preemption import Preemption
from gmrd.callbacks.progress import TrainingProgress
from gmrd.callbacks.throughput import Throughput

__all__ = [
    "AtomicCheckpointIO",
    "EpisodePictures",
    "Preemption",
    "SaveLast",
    "Throughput",
    "TrainingProgress",
]
