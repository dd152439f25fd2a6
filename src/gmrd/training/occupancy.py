"""A lock on a run's folder, since a second training would overwrite the first one's files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pytorch_lightning.utilities import rank_zero_only

from gmrd.errors import InputError

FILE = ".training"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock a run's folder; the system releases the lock when the process ends for any reason.

    The first process of a training holds the lock for all.

    Raises:
        InputError: another running training holds the lock.
    """
    if getattr(rank_zero_only, "rank", 0) != 0:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / FILE, blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"{folder}: another training runs in this folder: wait until it ends, or stop it, "
            "and run the command again; a second training needs its own hydra.run.dir"
        ) from error
    except (OSError, NotImplementedError):  # a file system without locks
        pass
    try:
        yield
    finally:
        lock.release()
