"""Processes that end with their parent, even if it is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PARENT = "GMRD_PARENT"
"""Environment variable: the process that started a command."""

SECONDS = 0.5
"""Seconds between two checks."""

_watching = threading.Lock()


def as_worker(parent: int, task: Callable[[], T]) -> T:
    """Run a task in a pool's process, which ends at once when ``parent`` has ended.

    In ``parent`` itself, or on another machine, this just runs the task.
    """
    if os.getpid() != parent:
        end_with(parent, signal.SIGKILL)
    return task()


def end_with(parent: int, how: signal.Signals) -> None:
    """Signal this process when ``parent`` has ended, if that is its parent; only starts once."""
    if os.getppid() == parent and _watching.acquire(blocking=False):
        threading.Thread(target=_watch, args=(parent, how), daemon=True).start()


def end_with_starter() -> None:
    """End this command by SIGTERM, like a scheduler, when the process that started it is gone."""
    if (parent := os.environ.get(PARENT, "")).isdigit():
        end_with(int(parent), signal.SIGTERM)


def _watch(parent: int, how: signal.Signals) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS)
    os.kill(os.getpid(), how)
