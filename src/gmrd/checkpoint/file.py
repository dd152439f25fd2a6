"""Checkpoint files, read as tensors and plain data alone."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gmrd.errors import InputError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What training wrote, reading plain data and tensors only.

    Raises:
        InputError: the file is missing, is not a checkpoint of this package, or holds anything
            but tensors and plain data.
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
            f"{path} is not a checkpoint that can be read safely ({error.__class__.__name__}): "
            "it is damaged or contains more than tensors and plain data"
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
    """Check the CRC-32 that torch writes with every record; torch itself does not when it reads.

    Files of torch before 1.6, which are no zip archives, have none and are not read.
    """
    with zipfile.ZipFile(path) as records:
        damaged = records.testzip()
    if damaged is not None:
        raise InputError(f"{path} is damaged: {damaged} fails its checksum. Copy it again")


def steps_of(checkpoint: Mapping[str, Any]) -> int | None:
    """How many steps a checkpoint was trained for; None if it does not say."""
    steps = checkpoint.get("global_step")
    return None if steps is None else int(steps)
