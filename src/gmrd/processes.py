"""Processes that end with their parent, even if it is killed, or with their output's reader."""

from __future__ import annotations

import io
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

PARENT = "GMRD_PARENT"
"""Environment variable: the process that started a command."""

SECONDS = 0.5
"""Seconds between two checks."""

UNREAD = 141
"""The conventional exit status of a program whose output nobody reads any more."""

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


@contextmanager
def ending_with_reader() -> Iterator[None]:
    """End quietly when the reader of the output, such as ``head``, has ended."""
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a path need not be text; stderr escapes already
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as error:
        # Rich replaces the output, then exits with status 1; a refusal by us has status 2.
        by_rich = isinstance(error, SystemExit) and error.code == 1
        if (by_rich and isinstance(error.__context__, BrokenPipeError)) or is_unread(error):
            os._exit(UNREAD)
        raise


def _open_closed_streams() -> None:
    """Discard what goes to a stream that is closed, as by a shell's ``>&-``.

    Python leaves it out, and the next file to be opened would get its number and what is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)  # the lowest free one, so this one
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w"))


def is_unread(error: BaseException) -> bool:
    """Whether nobody reads the output any more; False for errors of other pipes."""
    output = select.poll()
    for stream in (1, 2):
        output.register(stream, 0)
    broken = any(event & select.POLLERR for _, event in output.poll(0))
    return isinstance(error, BrokenPipeError) and broken


def _watch(parent: int, how: signal.Signals) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS)
    os.kill(os.getpid(), how)
