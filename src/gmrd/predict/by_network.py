"""Organs by a trained network: each query slice uses annotated slices at its height."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt
from scipy import ndimage
from torch import nn

from gmrd.adaptation import Annotated, adapted
from gmrd.checkpoint.load import load_module
from gmrd.checkpoint.record import TrainingRecord, record_of
from gmrd.data.pairing import annotated_slices
from gmrd.data.protocol import support_slices
from gmrd.errors import InputError
from gmrd.inference import Chunk, Segmenter, label_map
from gmrd.inference import segment as segment_slices
from gmrd.io.scan import Scan
from gmrd.matching.scan import Progress, silent
from gmrd.module import GMRDModule
from gmrd.predict.geometry import Grid, TrainingGeometry
from gmrd.predict.heights import HeightAlignment, align_heights, nearest_slices, within_extent
from gmrd.predict.intensity import Intensity
from gmrd.predict.options import Options
from gmrd.predict.support import Support


@dataclass(frozen=True)
class NetworkResult:
    """What a network found in a scan.

    Attributes:
        probabilities: by label value, on the scan's voxels.
        covered: share of the scan's signal within the network's field of view.
    """

    probabilities: Mapping[int, Float32[np.ndarray, "z y x"]]
    covered: float

    def labels(self, *, largest_component: bool) -> UInt[np.ndarray, "z y x"]:
        """The label value of each voxel's most probable organ, 0 where none exceeds 0.5."""
        labels = label_map(self.probabilities)
        if largest_component:
            for value in self.probabilities:
                labels[(labels == value) & ~_largest(labels == value)] = 0
        return labels


class NetworkMethod:
    """A trained network, and its supports resampled to the training geometry.

    Args:
        checkpoint: a file that ``gmrd-train`` or ``gmrd-convert`` wrote, or a module.
        read: annotated scans with their label maps.
        names: label value to organ name.
        geometry: of the training volumes; None for the one that the checkpoint records.
        intensity: preprocessing of intensities; None for that of the training.
        options: see :class:`Options`.
        device: to run the network on.
        progress: of the tuning that ``options.adapt`` asks for.

    Raises:
        InputError: the checkpoint is refused, or a label vanishes on the network's slices.
    """

    def __init__(
        self,
        checkpoint: str | Path | nn.Module,
        read: Sequence[tuple[Scan, UInt[np.ndarray, "_ _ _"]]],
        names: Mapping[int, str],
        *,
        geometry: TrainingGeometry | None,
        intensity: Intensity | None,
        options: Options,
        device: torch.device,
        progress: Progress = silent,
    ) -> None:
        if isinstance(checkpoint, GMRDModule):
            self.name, module = "a module in memory", checkpoint
        elif isinstance(checkpoint, nn.Module):
            raise InputError(f"{type(checkpoint).__name__} is not a GMRDModule: give a checkpoint")
        else:
            self.name, module = str(checkpoint), load_module(checkpoint)
        self.network = module.network.eval().to(device)
        self.options, self.device, self.names = options, device, names
        known, recorded = _training_of(record_of(module))
        self.knows_geometry = bool(geometry or known)
        self.geometry = geometry or known or TrainingGeometry.of(read[0][0])
        self.intensity = intensity or recorded
        if self.intensity.standard is None:
            self.intensity = replace(self.intensity, standard=recorded.standard)
        self.supports = [Support.resampled(*p, names, self.geometry, self.intensity) for p in read]
        if options.adapt:
            classes = [self._annotated(value) for value in names]
            self.network = adapted(self.network, classes, options.adapt, progress=progress)

    def __call__(self, scan: Scan) -> NetworkResult:
        """Every organ's probabilities on the scan's voxels."""
        grid = Grid.between(scan, self.geometry)
        image = self.intensity.standardised(grid.slices(self.intensity(scan.image)))
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
        return NetworkResult(
            {value: grid.scan(self._smoothed(p.numpy())) for value, p in found.items()},
            covered=grid.share_covered(np.clip(scan.image - np.median(scan.image), 0, None)),
        )

    def _annotated(self, value: int) -> Annotated:
        """The annotated slices of an organ that predictions are made from."""
        annotated = [(support.image, support.masks[value]) for support in self.supports]
        images, masks = annotated_slices(annotated, self.options.n_support_slices)
        return images.flatten(0, 1), masks.flatten(0, 1)

    def _smoothed(self, probability: Float32[np.ndarray, "z y x"]) -> Float32[np.ndarray, "z y x"]:
        """Smoothed along z, because slices are predicted independently of each other."""
        if self.options.smoothing <= 0:
            return probability
        return np.asarray(
            ndimage.gaussian_filter1d(probability, self.options.smoothing, axis=0, mode="nearest")
        )

    def _chunks(self, value: int, alignments: Sequence[HeightAlignment]) -> Iterator[Chunk]:
        """Query slices grouped by their support slices, one of each support."""
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
        """Query slices where the organ is expected, by at least one support."""
        if self.options.extent == "all":
            return np.ones(len(paired[0][1].heights), dtype=bool)
        within = [
            within_extent(
                support.masks[value], alignment.heights, support.step, self.options.margin
            )
            for support, alignment in paired
        ]
        return np.asarray(np.any(within, axis=0))


def _training_of(record: TrainingRecord | None) -> tuple[TrainingGeometry | None, Intensity]:
    """Geometry and intensities of the training volumes, where a checkpoint records them."""
    if record is None:
        return None, Intensity()
    geometry = TrainingGeometry(record.orientation, record.spacing, record.slice_shape)
    intensity = Intensity(
        window=record.window, clip_percentile=record.clip_percentile, standard=record.intensity
    )
    return geometry, intensity


def _largest(mask: Bool[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    pieces, n_pieces = ndimage.label(mask)
    if n_pieces <= 1:
        return mask
    return np.asarray(pieces == 1 + np.bincount(pieces.ravel())[1:].argmax())


def _stack(slices: Sequence[Any]) -> Float32[torch.Tensor, "k h w"]:
    return torch.from_numpy(np.stack(slices).astype(np.float32))
