"""Lightning callbacks: checkpoints, preemption, pictures, progress and throughput."""

from gmrd.training.callbacks.checkpoints import AtomicCheckpointIO, SaveLast
from gmrd.training.callbacks.episode_pictures import EpisodePictures
from gmrd.training.callbacks.preemption import Preemption
from gmrd.training.callbacks.progress import TrainingProgress
from gmrd.training.callbacks.switches import switched_on
from gmrd.training.callbacks.throughput import Throughput

__all__ = [
    "AtomicCheckpointIO",
    "EpisodePictures",
    "Preemption",
    "SaveLast",
    "Throughput",
    "TrainingProgress",
    "switched_on",
]
