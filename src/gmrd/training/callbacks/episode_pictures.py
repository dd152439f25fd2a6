"""Pictures of the network's output for a validation episode during training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer

from gmrd.nn import Descriptors
from gmrd.nn.affinity import affinity_maps, unit_positions
from gmrd.training.tracking import log_picture
from gmrd.types import Episode
from gmrd.values.kinds import Count
from gmrd.viz.pictures import save_figure

Array = NDArray[np.floating]


class EpisodePictures(Callback):
    """Draws the same held-out episode every ``every_n_steps`` training steps.

    Three pictures, as PNG under ``dirpath`` and to every logger that takes images:
    ``episode`` (support and query with true and predicted masks), ``affinity`` (the foreground
    affinity maps that vary most over the query, then those of the mean and the boundary
    descriptor) and ``descriptors`` (cosine similarities between all descriptors: distinct blocks
    show that foreground and background are separated).

    The episode is the data module's first validation episode (without validation, the first
    training episode): pseudo-labels of training volumes.

    Args:
        dirpath: folder of the pictures.
        every_n_steps: training steps between pictures.
        n_maps: affinity maps to draw.
    """

    def __init__(self, dirpath: str | Path, every_n_steps: Count = 1000, n_maps: Count = 6) -> None:
        self.dirpath, self.every_n_steps, self.n_maps = Path(dirpath), every_n_steps, n_maps
        self._episode: Episode | None = None
        self._drawn_at = 0

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Episode,
        batch_idx: int,
    ) -> None:
        """Draw at the set interval, without changing the training's random state."""
        step = trainer.global_step
        if step % self.every_n_steps or step == self._drawn_at:
            return
        self._drawn_at = step
        network: Any = pl_module
        module = network.whole()
        if not trainer.is_global_zero:
            return
        if self._episode is None:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            self._episode = data.episodes(validation=data.settings.n_validation_episodes > 0)[0]
        for name, path in self.draw(module, self._episode, step).items():
            log_picture(trainer.loggers, f"pictures/{name}", path, step)

    @torch.no_grad()
    def draw(self, module: LightningModule, episode: Episode, step: int) -> dict[str, Path]:
        """Write the pictures of one episode; returns their files by name."""
        network: Any = module.network
        was_training = network.training
        network.eval()
        output = network(episode.to(module.device))
        features = network.encoder(episode.query_images[:, 0].to(module.device))
        network.train(was_training)
        maps = affinity_maps(unit_positions(features), output.support.foreground)
        figures = {
            "episode": episode_figure(episode, output.probabilities[0, 0, 1].float().cpu().numpy()),
            "affinity": affinity_figure(maps[0].float().cpu().numpy(), self.n_maps),
            "descriptors": descriptor_figure(output.support),
        }
        return {
            name: save_figure(figure, self.dirpath / f"{name}_{step:06d}.png")
            for name, figure in figures.items()
        }


def episode_figure(episode: Episode, probability: Array) -> Figure:
    """Support, query with its true mask, and query with the prediction, side by side."""
    support, query = episode.support_images[0, 0].cpu(), episode.query_images[0, 0].cpu()
    figure = Figure(figsize=(9, 3.3), layout="constrained")
    panels = [
        ("support and its mask", support, episode.support_masks[0, 0].cpu().numpy()),
        ("query, pseudo-label", query, episode.query_masks[0, 0].cpu().numpy() == 1),
        ("query, prediction", query, probability > 0.5),
    ]
    for axis, (title, image, mask) in zip(figure.subplots(1, 3), panels, strict=True):
        axis.imshow(image, cmap="gray")
        if mask.any():
            axis.contour(mask, levels=[0.5], colors="#E69F00", linewidths=1.2)
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    return figure


def affinity_figure(maps: Array, n_maps: int) -> Figure:
    """The most varied generated affinity maps, then the mean's and the boundary's."""
    generated = np.argsort(-maps[:-2].std(axis=(1, 2)), kind="stable")[:n_maps]
    chosen = [(f"descriptor {k}", maps[k]) for k in generated]
    chosen += [("mean", maps[-2]), ("boundary", maps[-1])]
    figure = Figure(figsize=(1.6 * len(chosen), 2.1), layout="constrained")
    for axis, (title, values) in zip(figure.subplots(1, len(chosen)), chosen, strict=True):
        drawn = axis.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
        axis.set_title(title, fontsize=8)
        axis.set_axis_off()
    figure.colorbar(drawn, ax=figure.axes, shrink=0.8, label="cosine")
    return figure


def descriptor_figure(descriptors: Descriptors) -> Figure:
    """Cosine similarities between all descriptors, foreground first."""
    rows = torch.cat([descriptors.foreground[0], descriptors.background[0]]).float()
    unit = torch.nn.functional.normalize(rows, dim=1)
    figure = Figure(figsize=(5, 4.2), layout="constrained")
    axis = figure.subplots()
    drawn = axis.imshow((unit @ unit.T).cpu().numpy(), cmap="RdBu_r", vmin=-1, vmax=1)
    n_foreground = descriptors.foreground.shape[1]
    for draw in (axis.axhline, axis.axvline):
        draw(n_foreground - 0.5, color="black", linewidth=0.8)
    axis.set_title(f"{n_foreground} foreground, then background descriptors", fontsize=9)
    figure.colorbar(drawn, label="cosine")
    return figure
