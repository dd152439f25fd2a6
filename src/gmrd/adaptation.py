"""Tuning a network on the annotated slices before it predicts.

The labels that the person gave become episodes: an annotated slice is the support, and the same
slice under a random deformation and change of contrast the query, or the other way about. Nothing
of a query scan is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gmrd.data.augmentation import Augmentation
from gmrd.data.episodes import augment
from gmrd.inference import resize, resize_masks
from gmrd.losses import GMRDLoss
from gmrd.nn import GMRD
from gmrd.types import Episode

LEARNING_RATE = 1e-4
CLASS_WEIGHTS = (0.5, 1.0)
GREATEST_NORM = 1.0
"""Of a step's gradient."""

Annotated = tuple[Float[Tensor, "n h w"], Float[Tensor, "n h w"]]
"""Slices of a class and its masks on them."""


def adapted(
    network: GMRD,
    classes: Sequence[Annotated],
    n_steps: int,
    *,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda task, done, total: None,
) -> GMRD:
    """A copy of the network, tuned on annotated slices; the network itself stays.

    Args:
        network: on any device.
        classes: the annotated slices of every class.
        n_steps: of one episode each.
        seed: of all draws; the same seed gives the same copy.
        progress: told how far it is.
    """
    tuned = deepcopy(network).train()
    device, size = next(tuned.parameters()).device, network.image_size
    sized = [(resize(images, size), resize_masks(masks, size)) for images, masks in classes]
    trained = [p for p in tuned.parameters() if p.requires_grad]
    loss = GMRDLoss(class_weights=CLASS_WEIGHTS).to(device)
    optimizer = torch.optim.AdamW(trained, LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=max(n_steps, 2), pct_start=0.15
    )
    rng = np.random.default_rng(seed)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        for step in range(n_steps):
            progress("Tuning on the annotated slices", step, n_steps)
            episode = _episode(sized[int(rng.integers(len(sized)))], rng).to(device)
            optimizer.zero_grad()
            loss(tuned(episode), episode)["total"].backward()
            torch.nn.utils.clip_grad_norm_(trained, GREATEST_NORM)
            optimizer.step()
            schedule.step()
    progress("Tuning on the annotated slices", n_steps, n_steps)
    return tuned.train(network.training)


def _episode(annotated: Annotated, rng: np.random.Generator) -> Episode:
    """A slice and its deformed copy."""
    images, masks = annotated
    place = int(rng.integers(len(images)))
    slice_ = images[place : place + 1].clone(), masks[place : place + 1].clone()
    support, query = augment(slice_, slice_, Augmentation(), rng)
    return Episode(support[0][None], support[1][None], query[0][None], query[1][None].long())
