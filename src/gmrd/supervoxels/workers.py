"""Where parallel jobs run: in processes of this machine or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import joblib

from gmrd.errors import InputError


@contextmanager
def workers(backend: str, n_jobs: int, scheduler: str | None = None) -> Iterator[joblib.Parallel]:
    """A pool that yields results in order of completion.

    Args:
        backend: one of joblib's, or ``dask``.
        n_jobs: how many at a time; -1 for all cores.
        scheduler: address of the Dask scheduler.

    Raises:
        InputError: Dask is not installed, or no scheduler responds.
    """
    with ExitStack() as stack:
        if backend == "dask":
            stack.enter_context(_dask_client(scheduler))
        stack.enter_context(joblib.parallel_config(backend=backend, n_jobs=n_jobs))
        yield joblib.Parallel(return_as="generator_unordered")


def _dask_client(scheduler: str | None) -> ExitStack:
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError(
            "workers=dask needs Dask's distributed, which is not installed: "
            "pip install 'gmrd[dask]'"
        ) from error
    try:
        client = Client(scheduler, timeout="10s", set_as_default=True)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise InputError(
            f"workers.scheduler={scheduler}: no Dask scheduler responds there ({error})"
        ) from error
    stack = ExitStack()
    stack.enter_context(client)
    return stack
