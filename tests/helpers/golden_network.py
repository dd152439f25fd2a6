"""The rule that fills the golden network's weights, and the episode that it was run on."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gmrd.types import Episode

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(variant: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The measured results of a variant: numbers, and subsampled arrays."""
    facts = json.loads((GOLDEN / f"network_{variant}.json").read_text())
    with np.load(GOLDEN / f"network_{variant}.npz") as arrays:
        return facts, dict(arrays)


def rule_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """The value of one public parameter, from its name alone."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    if name.endswith("running_var"):
        values = 1 + 0.1 * rng.random(shape)
    elif name.endswith("running_mean"):
        values = 0.1 * rng.standard_normal(shape)
    elif len(shape) == 1 and name.endswith("weight"):
        centre = 0.2 if name.endswith("bn3.weight") else 1.0
        values = centre + centre * 0.1 * rng.standard_normal(shape)
    elif len(shape) == 1:
        values = 0.1 * rng.standard_normal(shape)
    else:
        gain = 1 if "layer" in name or "conv1" in name else 2
        values = rng.standard_normal(shape) * np.sqrt(gain / np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def public_state_dict(variant: str) -> dict[str, Tensor]:
    """A whole checkpoint in the public code's format."""
    shapes = golden(variant)[0]["state_dict_shapes"]
    return {name: rule_tensor(name, tuple(shape)) for name, shape in shapes.items()}


def golden_episode() -> Episode:
    """The fixed episode: noise images with an ellipse each."""
    rng = np.random.default_rng(2024)
    support, query = (
        torch.from_numpy(rng.standard_normal((1, 1, 256, 256)).astype(np.float32)) for _ in "sq"
    )
    y, x = np.mgrid[:256, :256]
    support_mask = ((y - 120) / 40) ** 2 + ((x - 100) / 30) ** 2 < 1
    query_mask = ((y - 126) / 38) ** 2 + ((x - 108) / 33) ** 2 < 1
    return Episode(
        support,
        torch.from_numpy(support_mask[None, None]).float(),
        query,
        torch.from_numpy(query_mask[None, None]).long(),
    )
