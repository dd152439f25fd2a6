"""Where parallel jobs run: in processes of this machine or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import joblib
from omegaconf import DictConfig

from gmrd.errors import InputError


@contextmanager
def workers(cfg: DictConfig) -> Iterator[joblib.Parallel]:
    """The pool of a ``workers`` config group, which yields results in order of completion."""
    with ExitStack() as stack:
        if cfg.backend == "dask":
            stack.enter_context(_dask_client(cfg.scheduler))
        stack.enter_context(joblib.parallel_config(backend=cfg.backend, n_jobs=cfg.n_jobs))
        yield joblib.Parallel(return_as="generator_unordered")


def _dask_client(scheduler: str) -> ExitStack:
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
