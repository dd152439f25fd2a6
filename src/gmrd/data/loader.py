"""Loading episodes from an endless numbered stream, resumable at any step."""

from __future__ import annotations

import atexit
import signal
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from typing import Any
from weakref import WeakSet

from torch.utils.data import DataLoader, DistributedSampler

from gmrd.data.episodes import EpisodeDataset, collate_episodes
from gmrd.errors import InputError
from gmrd.types import Episode


class EpisodeSampler(DistributedSampler[Any]):
    """Numbers of the remaining episodes of the current epoch, for this process.

    Each process takes every ``num_replicas``-th episode. The class derives from
    ``DistributedSampler`` so that Lightning does not replace it by one that shuffles.

    Args:
        dataset: The episodes; its length is an epoch.
        remaining: Returns the episodes of the current epoch that no process was trained on yet.
        rank: This process.
        num_replicas: Number of processes.
    """

    def __init__(
        self,
        dataset: EpisodeDataset,
        remaining: Callable[[], range],
        *,
        rank: int = 0,
        num_replicas: int = 1,
    ) -> None:
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, shuffle=False)
        self.remaining, self.per_process = remaining, len(dataset) // num_replicas

    def __len__(self) -> int:
        """Episodes that this process sees in a whole epoch."""
        return self.per_process

    def __iter__(self) -> Iterator[Any]:
        """Episode numbers from the first one not yet trained on to the end of its epoch."""
        return iter(self.remaining()[self.rank :: self.num_replicas])


class EpisodeLoader(DataLoader[Episode]):
    """Batches of episodes that resume within an epoch.

    The sampler asks the trainer where it stands, so there is nothing else to restore; the two
    methods tell Lightning that resuming in the middle of an epoch is safe.
    """

    def __init__(self, dataset: EpisodeDataset, **kwargs: Any) -> None:
        super().__init__(
            dataset, collate_fn=collate_episodes, worker_init_fn=_outlive_signals, **kwargs
        )

    def __iter__(self) -> Iterator[Episode]:  # type: ignore[override]
        """Batches; a worker's InputError is raised without the worker's traceback."""
        batches = super().__iter__()
        _workers.update(getattr(batches, "_workers", ()))
        try:
            yield from batches
        except InputError as error:
            raise InputError(str(error).rsplit("InputError: ", 1)[-1].strip()) from None

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the position follows from the trainer's step."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


def _outlive_signals(worker: int) -> None:
    """Ignore signals sent to the process group, since the training needs its workers to end a step.

    Workers end with the training, or when it is killed.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


_workers: WeakSet[BaseProcess] = WeakSet()


@atexit.register
def _end_workers() -> None:
    """Kill the workers that outlive their iterators when Python ends.

    Otherwise Python would terminate them by the signal that they ignore, and wait for ever.
    """
    if hasattr(signal, "SIGCHLD"):  # torch raises an error for a killed worker
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in list(_workers):
        worker.kill()
