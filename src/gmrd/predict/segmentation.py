"""``gmrd.segment``: annotated scans and a new scan in, the organs of the new scan out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float32
from scipy.ndimage import gaussian_filter1d

from gmrd.data.protocol import support_slices
from gmrd.data.volume import standardise
from gmrd.errors import InputError
from gmrd.inference import Chunk, Segmenter, choose_device
from gmrd.inference import segment as segment_slices
from gmrd.io.readers import read_scan
from gmrd.io.scan import Scan
from gmrd.module import GMRDModule, load_module
from gmrd.predict.geometry import Grid, TrainingGeometry
from gmrd.predict.intensity import Intensity, in_hounsfield
from gmrd.predict.judgement import Finding, affinity_ratio, judge
from gmrd.predict.matching import Alignment, align_heights, nearest_slices, within_extent
from gmrd.predict.result import Segmentation, label_map
from gmrd.predict.support import LabelLike, ScanLike, Support, label_names, read_pair
from gmrd.predict.training import TrainingScans
from gmrd.weights import PHANTOM, packaged

LEAST = {"margin": 0, "n_support_slices": 1, "smoothing": 0, "batch_size": 1}
"""The least value of an option."""


@dataclass(frozen=True)
class Options:
    """How a query is matched with its supports and cleaned.

    Attributes:
        extent: ``aligned`` leaves out query slices that lie, by alignment with the support,
            more than ``margin`` outside the organ; ``all`` predicts every slice.
        margin: share of the organ's length that is still searched beyond each of its ends.
        n_support_slices: annotated slices taken from every support scan.
        smoothing: of the probabilities along z, as a Gaussian's deviation in slices; 0 for none.
        largest_component: keep only the largest connected piece of every organ.
        batch_size: query slices encoded together.
        device: ``auto``, ``cpu``, ``cuda`` or what torch calls a device.

    Raises:
        InputError: a value is out of its range.
    """

    extent: Literal["aligned", "all"] = "aligned"
    margin: float = 0.1
    n_support_slices: int = 3
    smoothing: float = 1.0
    largest_component: bool = True
    batch_size: int = 8
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.extent not in ("aligned", "all"):
            raise InputError(f"options.extent={self.extent}: choose aligned or all")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value < least:
                raise InputError(f"options.{name}={value}: the least that makes sense is {least}")


class Predictor:
    """A trained network and annotated scans, ready for any number of queries.

    Args:
        support: pairs of a scan and its label map, as files or arrays; K pairs are K shots.
        checkpoint: a file that ``gmrd-train`` or ``gmrd-convert`` wrote; None for the small
            network that comes with the package, which has seen phantoms only.
        names: label value to organ name; None for all values of the first label map.
        geometry: of the training volumes, where the checkpoint does not tell or is wrong.
        intensity: what to do to intensities; None for what the training did.
        options: see :class:`Options`.

    Raises:
        InputError: a file, a label value or the checkpoint is refused; the message says why.
    """

    def __init__(
        self,
        support: Sequence[tuple[ScanLike, LabelLike]],
        *,
        checkpoint: str | Path | GMRDModule | None = None,
        names: Mapping[int, str] | None = None,
        geometry: TrainingGeometry | None = None,
        intensity: Intensity | None = None,
        options: Options | None = None,
    ) -> None:
        if not support:
            raise InputError("no support: give at least one scan with its label map")
        self.options = options or Options()
        self.device = choose_device(self.options.device, key="options.device")
        self.checkpoint, module = _module(checkpoint)
        self.network = module.network.eval().to(self.device)
        self.training = TrainingScans.from_record(module.hparams.get("scans"))
        self.intensity = intensity or self.training.intensity
        read = [read_pair(*pair) for pair in support]
        self.knows_geometry = bool(geometry or self.training.geometry)
        self.geometry = geometry or self.training.geometry or TrainingGeometry.of(read[0][0])
        self.names = label_names(names, read)
        self.supports = [Support.lay(*p, self.names, self.geometry, self.intensity) for p in read]

    def __call__(self, query: ScanLike) -> Segmentation:
        """Segment one scan."""
        scan = query if isinstance(query, Scan) else read_scan(query)
        start = time.perf_counter()
        grid = Grid.between(scan, self.geometry)
        image = standardise(grid.slices(self.intensity(scan.image)))
        alignments = [
            align_heights(image, support.image, grid.spacing[0], support.step)
            for support in self.supports
        ]
        chunks = {value: list(self._chunks(value, alignments)) for value in self.names}
        found = segment_slices(
            cast(Segmenter, self.network),
            torch.from_numpy(image),
            chunks,
            batch_size=self.options.batch_size,
            device=self.device,
        )
        on_slices = {value: self._smoothed(p.numpy()) for value, p in found.items()}
        probabilities = {value: grid.scan(p) for value, p in on_slices.items()}
        labels = label_map(probabilities, largest_component=self.options.largest_component)
        volumes = {
            name: float(np.count_nonzero(labels == value)) * scan.voxel_ml
            for value, name in self.names.items()
        }
        affinity = {
            name: affinity_ratio(self.network, image, on_slices[value], chunks[value])
            for value, name in self.names.items()
        }
        similarity = tuple(alignment.similarity for alignment in alignments)
        return Segmentation(
            scan=scan,
            labels=labels,
            probabilities=probabilities,
            names=self.names,
            volumes_ml=volumes,
            findings=self._findings(scan, grid, volumes, affinity, max(similarity)),
            affinity=affinity,
            similarity=similarity,
            seconds=time.perf_counter() - start,
        )

    def _smoothed(self, probability: Float32[np.ndarray, "z y x"]) -> Float32[np.ndarray, "z y x"]:
        """Slices are predicted one by one; what their neighbours do not see either is doubted."""
        if self.options.smoothing <= 0:
            return probability
        return np.asarray(
            gaussian_filter1d(probability, self.options.smoothing, axis=0, mode="nearest")
        )

    def _findings(
        self,
        scan: Scan,
        grid: Grid,
        volumes: Mapping[str, float],
        affinity: Mapping[str, float],
        similarity: float,
    ) -> tuple[Finding, ...]:
        annotated = {
            name: float(np.mean([s.volumes_ml[value] for s in self.supports]))
            for value, name in self.names.items()
        }
        return judge(
            volumes=volumes,
            support_volumes=annotated,
            affinity=affinity,
            similarity=similarity,
            same_kind={s.hounsfield for s in self.supports} == {in_hounsfield(scan.image)},
            covered=grid.share_covered(np.clip(scan.image - np.median(scan.image), 0, None)),
            known_geometry=self.knows_geometry,
            packaged=self.checkpoint == PHANTOM,
        )

    def _chunks(self, value: int, alignments: Sequence[Alignment]) -> Iterator[Chunk]:
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

    def _searched(self, value: int, paired: Sequence[tuple[Support, Alignment]]) -> Any:
        """Query slices where a support lets the organ be expected."""
        if self.options.extent == "all":
            return np.ones(len(paired[0][1].heights), dtype=bool)
        return np.any(
            [
                within_extent(
                    support.masks[value], alignment.heights, support.step, self.options.margin
                )
                for support, alignment in paired
            ],
            axis=0,
        )


def segment(
    support: Sequence[tuple[ScanLike, LabelLike]],
    query: ScanLike,
    checkpoint: str | Path | GMRDModule | None = None,
    *,
    names: Mapping[int, str] | None = None,
    **options: Any,
) -> Segmentation:
    """Find in ``query`` what is annotated in ``support``.

    Args:
        support: pairs of a scan and its label map (files or arrays); K pairs are K shots.
        query: the scan to segment; its truth is not needed.
        checkpoint: a trained checkpoint; None for the packaged network, trained on phantoms.
        names: label value to organ name; None for all values of the first label map.
        options: fields of :class:`Options`.

    Returns:
        Label map, probabilities and volumes on the query's own voxels, and what speaks
        against trusting them.

    Raises:
        InputError: something given is refused; the message says what and how to mend it.

    Example:
        >>> found = gmrd.segment([("a.nii.gz", "a_seg.nii.gz")], "b.nii.gz", "gmrd.ckpt")
        >>> found.save("b_seg.nii.gz"), found.volumes_ml
    """
    predictor = Predictor(support, checkpoint=checkpoint, names=names, options=Options(**options))
    return predictor(query)


def _stack(slices: Sequence[np.ndarray]) -> Float32[torch.Tensor, "k h w"]:
    return torch.from_numpy(np.stack(slices).astype(np.float32))


def _module(checkpoint: str | Path | GMRDModule | None) -> tuple[str, GMRDModule]:
    if isinstance(checkpoint, GMRDModule):
        return "a module in memory", checkpoint
    if checkpoint is None:
        return PHANTOM, load_module(packaged())
    return str(checkpoint), load_module(checkpoint)
