"""Checkpoint files, read as tensors and plain data only."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gmrd.errors import InputError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, accepting tensors and plain data only.

    Raises:
        InputError: the file is missing, is not a checkpoint of this package, or contains anything
            else.
    """
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}: set ckpt_path to a .ckpt that training wrote")
    try:
        _refuse_changed_bits(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path} is not a checkpoint that can be read safely: it is damaged or "
            "contains more than tensors and plain data"
        ) from error
    if not isinstance(checkpoint, dict) or not {"hyper_parameters", "state_dict"} <= set(
        checkpoint
    ):
        raise InputError(
            f"{path} is not a gmrd checkpoint: for weights of the public research code, run "
            f"gmrd-convert source={path} out=gmrd.ckpt first"
        )
    if not all(isinstance(checkpoint[key], Mapping) for key in ("hyper_parameters", "state_dict")):
        raise InputError(f"{path} has no hyper-parameters or weights by name: it is damaged")
    return checkpoint


def _refuse_changed_bits(path: Path) -> None:
    """Check the CRC-32 of every record, which torch writes but does not check when reading.

    Files of torch before 1.6 are not zip archives, have no checksums, and are not read.
    """
    with zipfile.ZipFile(path) as records:
        damaged = records.testzip()
    if damaged is not None:
        raise InputError(f"{path} is damaged: {damaged} fails its checksum. Copy it again")


def steps_of(checkpoint: Mapping[str, Any]) -> int | None:
    """Number of training steps of a checkpoint; None if unknown."""
    steps = checkpoint.get("global_step")
    return None if steps is None else int(steps)
