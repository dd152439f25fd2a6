"""One training a folder: a second one would write over the first one's files."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_only

from gmrd.errors import InputError

FILE = ".training"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a run's folder; the system lets go of it when the process ends, however it ends.

    Of the processes of one training the first holds it for all.

    Raises:
        InputError: another training that still runs holds it.
    """
    if getattr(rank_zero_only, "rank", 0) != 0:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{folder}: another training runs in this folder: wait for its end, or end it, and "
                "give the command again; a training beside it needs another hydra.run.dir"
            ) from error
        except OSError:  # a file system without locks
            pass
        yield
