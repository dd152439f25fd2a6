"""Organs by a trained network: annotated slices explain the query slices at their height."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from scipy.ndimage import gaussian_filter1d

from gmrd.checkpoint.load import load_module
from gmrd.data.protocol import support_slices
from gmrd.data.volume import standardise
from gmrd.inference import Chunk, Segmenter
from gmrd.inference import segment as segment_slices
from gmrd.io.scan import Scan
from gmrd.module import GMRDModule
from gmrd.predict.geometry import Grid, TrainingGeometry
from gmrd.predict.heights import HeightAlignment, align_heights, nearest_slices, within_extent
from gmrd.predict.intensity import Intensity
from gmrd.predict.options import Options
from gmrd.predict.support import Support
from gmrd.predict.training import TrainingScans


class NetworkMethod:
    """A trained network with its annotated scans on the slices that it was trained on.

    Args:
        checkpoint: a file that ``gmrd-train`` or ``gmrd-convert`` wrote, or a module.
        read: annotated scans with their label maps.
        names: label value to organ name.
        geometry: of the training volumes, where the checkpoint does not record it or is wrong.
        intensity: what to do to intensities; None for what the training did.
        options: see :class:`Options`.
        device: that the network runs on.

    Raises:
        InputError: the checkpoint is refused, or nothing is left of a label.
    """

    def __init__(
        self,
        checkpoint: str | Path | GMRDModule,
        read: Sequence[tuple[Scan, Int[np.ndarray, "_ _ _"]]],
        names: Mapping[int, str],
        *,
        geometry: TrainingGeometry | None,
        intensity: Intensity | None,
        options: Options,
        device: torch.device,
    ) -> None:
        if isinstance(checkpoint, GMRDModule):
            self.name, module = "a module in memory", checkpoint
        else:
            self.name, module = str(checkpoint), load_module(checkpoint)
        self.network = module.network.eval().to(device)
        self.options, self.device, self.names = options, device, names
        training = TrainingScans.from_record(module.hparams.get("scans"))
        self.knows_geometry = bool(geometry or training.geometry)
        self.geometry = geometry or training.geometry or TrainingGeometry.of(read[0][0])
        self.intensity = intensity or training.intensity
        self.supports = [Support.lay(*p, names, self.geometry, self.intensity) for p in read]

    def __call__(self, scan: Scan) -> tuple[dict[int, Float32[np.ndarray, "z y x"]], float]:
        """Every label's probability on the scan's voxels, and the share of its signal seen."""
        grid = Grid.between(scan, self.geometry)
        image = standardise(grid.slices(self.intensity(scan.image)))
        alignments = [
            align_heights(image, support.image, grid.spacing[0], support.step)
            for support in self.supports
        ]
        found = segment_slices(
            cast(Segmenter, self.network),
            torch.from_numpy(image),
            {value: list(self._chunks(value, alignments)) for value in self.names},
            batch_size=self.options.batch_size,
            device=self.device,
        )
        signal = np.clip(scan.image - np.median(scan.image), 0, None)
        return {v: grid.scan(self._smoothed(p.numpy())) for v, p in found.items()}, (
            grid.share_covered(signal)
        )

    def _smoothed(self, probability: Float32[np.ndarray, "z y x"]) -> Float32[np.ndarray, "z y x"]:
        """Slices are predicted one by one; what their neighbours do not see either is doubted."""
        if self.options.smoothing <= 0:
            return probability
        return np.asarray(
            gaussian_filter1d(probability, self.options.smoothing, axis=0, mode="nearest")
        )

    def _chunks(self, value: int, alignments: Sequence[HeightAlignment]) -> Iterator[Chunk]:
        """Query slices grouped by the annotated slices (one of each support) that explain them."""
        paired = list(zip(self.supports, alignments, strict=True))
        nearest = [
            nearest_slices(
                support_slices(support.masks[value], self.options.n_support_slices),
                alignment.heights,
                support.step,
            )
            for support, alignment in paired
        ]
        groups: dict[tuple[int, ...], list[int]] = {}
        for z in np.flatnonzero(self._searched(value, paired)).tolist():
            groups.setdefault(tuple(chosen[z] for chosen in nearest), []).append(z)
        for key, slices in groups.items():
            chosen = list(zip(self.supports, key, strict=True))
            yield Chunk(
                support_images=_stack([support.image[z] for support, z in chosen]),
                support_masks=_stack([support.masks[value][z] for support, z in chosen]),
                query_slices=tuple(slices),
            )

    def _searched(
        self, value: int, paired: Sequence[tuple[Support, HeightAlignment]]
    ) -> Bool[np.ndarray, " z"]:
        """Query slices where a support lets the organ be expected."""
        if self.options.extent == "all":
            return np.ones(len(paired[0][1].heights), dtype=bool)
        within = [
            within_extent(
                support.masks[value], alignment.heights, support.step, self.options.margin
            )
            for support, alignment in paired
        ]
        return np.asarray(np.any(within, axis=0))


def _stack(slices: Sequence[Any]) -> Float32[torch.Tensor, "k h w"]:
    return torch.from_numpy(np.stack(slices).astype(np.float32))
