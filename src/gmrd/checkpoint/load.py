"""Rebuilding a trained module from its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gmrd.checkpoint.file import read_checkpoint
from gmrd.components import locate, name_of, refuse_foreign
from gmrd.errors import InputError
from gmrd.module import GMRDModule
from gmrd.values.arguments import TARGET


def load_module(ckpt_path: str | Path) -> GMRDModule:
    """Rebuild a trained module from a checkpoint.

    A checkpoint that names classes of another package is refused unless that package is allowed:
    ``with gmrd.components.allowing(["package"])``, or ``GMRD_ALLOW=package``.

    Raises:
        InputError: the checkpoint cannot be read or used.
    """
    path = Path(ckpt_path)
    return rebuilt(read_checkpoint(path), path)


def rebuilt(checkpoint: Mapping[str, Any], path: Path) -> GMRDModule:
    """The module of an already read checkpoint; ``path`` is for messages.

    Raises:
        InputError: the checkpoint cannot be used.
    """
    settings = checkpoint["hyper_parameters"]
    refuse_foreign(settings, path)
    try:
        cls = locate("model", settings.get(TARGET, name_of(GMRDModule)), GMRDModule)
        module: GMRDModule = cls.rebuilt(settings)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError) as error:
        raise InputError(
            f"{path} has hyper-parameters that cannot be used here: {error}"
        ) from error
    _refuse_nan(path, checkpoint["state_dict"])
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except (AttributeError, RuntimeError, TypeError) as error:
        raise InputError(f"{path} does not fit the network it describes: {error}") from error
    return module


def _refuse_nan(path: Path, state: Mapping[str, Any]) -> None:
    for name, value in state.items():
        if isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all():
            raise InputError(
                f"{path}: the weights {name} are not all finite: the training failed, or the file "
                "is damaged. Use an earlier checkpoint"
            )
