"""``gmrd.segment``: segment the organs of a new scan from annotated ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from torch import nn

from gmrd.errors import InputError
from gmrd.inference import choose_device
from gmrd.io.scan import Scan
from gmrd.matching.scan import Progress, silent
from gmrd.predict.by_matching import MatchingMethod, OnScan, Query
from gmrd.predict.geometry import TrainingGeometry, is_sizeless
from gmrd.predict.given import LabelLike, ScanLike, as_scan
from gmrd.predict.intensity import Intensity, in_hounsfield
from gmrd.predict.judgement import (
    Finding,
    OrganEvidence,
    ScanEvidence,
    dice_by_reverse,
    judge,
)
from gmrd.predict.memory import refuse_too_large
from gmrd.predict.options import Options
from gmrd.predict.result import Segmentation
from gmrd.predict.store import SupportStore
from gmrd.predict.support import label_names, read_pair

UNTRAINED = "none: dense matching of pretrained features"


class Predictor:
    """Segments any number of queries from annotated scans.

    Without a checkpoint, organs are found by matching pretrained features with the annotated
    scans (:mod:`gmrd.matching`); with one, by the trained network. The quality of the result is
    estimated: from the agreement of matches with regions and shapes, or for a network from the
    reverse Dice.

    Args:
        support: pairs of a scan and its label map, see :func:`segment`; K pairs are K shots.
        checkpoint: a file that ``gmrd-train`` or ``gmrd-convert`` wrote, or the module itself;
            None for matching.
        names: label value to organ name; None for all values of the first label map.
        geometry: of the training volumes; None for the one that the checkpoint records.
        intensity: preprocessing for a network; None for that of the training.
        options: see :class:`Options`.
        progress: called with the name of a step, how much is done, and the total.
        store: keeps encoded supports and what each found; None to keep nothing.

    Raises:
        InputError: a file, a label value or the checkpoint is refused; the message says why.
    """

    def __init__(
        self,
        support: Sequence[tuple[ScanLike, LabelLike]],
        *,
        checkpoint: str | Path | nn.Module | None = None,
        names: Mapping[int, str] | None = None,
        geometry: TrainingGeometry | None = None,
        intensity: Intensity | None = None,
        options: Options | None = None,
        progress: Progress = silent,
        store: SupportStore | None = None,
    ) -> None:
        if not support:
            raise InputError("no support: give at least one scan with its label map")
        self.options, self.progress = options or Options(), progress
        device = choose_device(self.options.device, key="options.device")
        read = [read_pair(*pair) for pair in support]
        self.matching = MatchingMethod(
            read,
            label_names(names, read),
            encoder=self.options.encoder,
            adapt=self.options.adapt if checkpoint is None else 0,
            progress=progress,
            store=store,
        )
        if store is not None:
            store.encode(self.matching.supports, self.options.encoder, fine=checkpoint is None)
        self.names = self.matching.names
        self.network = None
        if checkpoint is not None:
            # Lightning and MONAI take seconds and 0.15 GB, and matching does without them.
            from gmrd.predict.by_network import NetworkMethod

            self.network = NetworkMethod(
                checkpoint, read, self.names, geometry=geometry, intensity=intensity,
                options=self.options, device=device, progress=progress,
            )  # fmt: skip
        self.checkpoint = self.network.name if self.network else UNTRAINED
        self.sizeless = [scan.name for scan, _ in read if is_sizeless(scan)]
        self.in_hounsfield = {in_hounsfield(scan.image) for scan, _ in read}
        self.annotated_ml = {
            name: float(np.mean([np.count_nonzero(label == v) * s.voxel_ml for s, label in read]))
            for v, name in self.names.items()
        }

    def __call__(self, query: ScanLike) -> Segmentation:
        """Segment one scan."""
        scan = as_scan(query)
        refuse_too_large(
            scan,
            len(self.names),
            self.matching.frame.grid(scan).shape,
            with_network=self.network is not None,
        )
        if self.network is None:
            self.matching.refuse_shapeless(scan)
        start = time.perf_counter()
        laid = self.matching.place(scan, self.progress)
        covered = 1.0
        pieces = self.options.largest_component
        probabilities: Mapping[int, Float32[np.ndarray, "z y x"]]
        likeness: Query | OnScan
        if self.network:
            found, likeness = self.network(scan), laid
            probabilities, covered = found.probabilities, found.covered
            labels = found.labels(largest_component=pieces)
            reverse = self.matching.reverse(laid, labels)
            estimated = {v: dice_by_reverse(reverse[name]) for v, name in self.names.items()}
        else:
            matched = self.matching(laid, pieces=pieces, progress=self.progress)
            probabilities, labels, likeness = matched, matched.labels(), matched
            estimated = dict(matched.estimated)
        volumes = {
            name: float(sum(np.count_nonzero(piece == value) for piece in labels)) * scan.voxel_ml
            for value, name in self.names.items()
        }
        quality = {
            name: estimated[value] if volumes[name] else float("nan")
            for value, name in self.names.items()
        }
        return Segmentation(
            scan=scan,
            labels=labels,
            probabilities=probabilities,
            names=self.names,
            volumes_ml=volumes,
            findings=self._findings(scan, covered, volumes, quality, likeness),
            quality=quality,
            similarity=likeness.consistency,
            seconds=time.perf_counter() - start,
        )

    def _findings(
        self,
        scan: Scan,
        covered: float,
        volumes: Mapping[str, float],
        quality: Mapping[str, float],
        likeness: Query | OnScan,
    ) -> tuple[Finding, ...]:
        organs = {
            name: OrganEvidence(volumes[name], self.annotated_ml[name], quality[name])
            for name in self.names.values()
        }
        evidence = ScanEvidence(
            similarity=max(likeness.consistency),
            mirrored=likeness.mirrored,
            same_modality=self.in_hounsfield == {in_hounsfield(scan.image)},
            covered=covered,
            known_geometry=self.network is None or self.network.knows_geometry,
            skipped=self.matching.skipped,
            sizeless=self.sizeless + [scan.name] * is_sizeless(scan),
        )
        return judge(organs, evidence)


def segment(
    support: Sequence[tuple[ScanLike, LabelLike]],
    query: ScanLike,
    checkpoint: str | Path | nn.Module | None = None,
    *,
    names: Mapping[int, str] | None = None,
    **options: Any,
) -> Segmentation:
    """Segment in ``query`` the organs that are annotated in ``support``.

    Args:
        support: pairs of a scan and its label map; K pairs are K shots. A scan is a file, the
            folder of a DICOM series, a nibabel image, or an array (z, y, x) with its voxel size
            (z, y, x) in mm or its affine: ``(array, (7.7, 1.25, 1.25))``. A label map is a file,
            an array of its scan's shape, or a nibabel image.
        query: the scan to segment.
        checkpoint: of a trained network; None to match pretrained features without training.
        names: label value to organ name; None for all values of the first label map.
        options: fields of :class:`Options`.

    Returns:
        Label map, probabilities and volumes on the query's own voxels, and reasons to doubt them.

    Raises:
        InputError: an argument is refused; the message says why and how to fix it.

    Example:
        >>> found = gmrd.segment([("a.nii.gz", "a_seg.nii.gz")], "b.nii.gz")
        >>> found.save("b_seg.nii.gz"), found.volumes_ml
        >>> found = gmrd.segment([((a, spacing), a_seg)], (b, spacing)).labels
    """
    predictor = Predictor(support, checkpoint=checkpoint, names=names, options=Options(**options))
    return predictor(query)
