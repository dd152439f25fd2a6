"""Scores of a predicted mask against the ground truth, for one case and one organ."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from monai.metrics.utils import get_mask_edges, get_surface_distance
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class CaseScore:
    """All scores of one prediction; ``nan`` where a score is undefined.

    Dice and IoU are fractions; distances are in mm; ``ravd`` (relative absolute volume
    difference) is in per cent.
    """

    dice: float
    iou: float
    hd95: float = float("nan")
    assd: float = float("nan")
    mssd: float = float("nan")
    ravd: float = float("nan")


def overlap_scores(predicted: Mask, true: Mask) -> CaseScore:
    """Dice and IoU of two masks of the same shape.

    For an organ that is absent from the ground truth both scores are ``nan``, and tables exclude
    the case and say so.

    This is computed here, because libraries give the same digits but take a hundred times longer:
    18 ms for 78 x 512 x 512 voxels on a CPU, against 1.7 s for MONAI's ``compute_dice`` and 3.1 s
    for torchmetrics' ``binary_f1_score``.
    """
    _check(predicted, true)
    if not true.any():
        return CaseScore(dice=float("nan"), iou=float("nan"))
    intersection = int(np.count_nonzero(predicted & true))
    total = int(np.count_nonzero(predicted)) + int(np.count_nonzero(true))
    return CaseScore(dice=2 * intersection / total, iou=intersection / (total - intersection))


def volume_scores(predicted: Mask, true: Mask, spacing: tuple[float, float, float]) -> CaseScore:
    """All scores of two (z, y, x) masks whose voxels measure ``spacing`` mm along z, y, x.

    Distances follow the CHAOS challenge: surface voxels are those that a 6-connected erosion
    removes. The mask is continued beyond the volume's edge, so an organ cropped by the end of the
    scan has no surface there. HD95 is the larger of the two directed 95th percentiles. Distances
    are ``nan`` if either mask is empty or fills the volume, since it has no surface.
    """
    scores = overlap_scores(predicted, true)
    n_predicted, n_true = int(np.count_nonzero(predicted)), int(np.count_nonzero(true))
    if n_true:
        scores = replace(scores, ravd=100.0 * abs(n_predicted - n_true) / n_true)
    if not (n_predicted and n_true):
        return scores
    to_true, to_predicted = surface_distances(predicted, true, spacing)
    if not to_true.size:
        return scores
    both = np.concatenate([to_true, to_predicted])
    return replace(
        scores,
        hd95=float(max(np.percentile(to_true, 95), np.percentile(to_predicted, 95))),
        assd=float(both.mean()),
        mssd=float(both.max()),
    )


def surface_distances(
    predicted: Mask, true: Mask, spacing: tuple[float, float, float]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Distances in mm of each surface's voxels to the other surface, for two non-empty masks.

    None if a mask fills the volume and therefore has no surface.

    MONAI computes surfaces and distances. Its ``compute_average_surface_distance`` and
    ``compute_hausdorff_distance`` are not used: with a spacing, they count every cell of eight
    voxels that are not all equal as surface (ASSD 0.713 mm on the challenge's pair, where the
    organisers state 0.734), and they assume a surface where the volume ends.
    """
    box = tuple(slice(axis.start, axis.stop + 2) for axis in _bounding_box(predicted | true))
    continued = (np.pad(mask, 1, mode="edge")[box] for mask in (predicted, true))
    edges = get_mask_edges(*continued, crop=False)
    of_predicted, of_true = (edge[1:-1, 1:-1, 1:-1] for edge in edges)
    if not (of_predicted.any() and of_true.any()):
        return np.empty(0), np.empty(0)
    to_true = get_surface_distance(of_predicted, of_true, spacing=spacing)
    to_predicted = get_surface_distance(of_true, of_predicted, spacing=spacing)
    return np.asarray(to_true), np.asarray(to_predicted)


def _check(predicted: Mask, true: Mask) -> None:
    if predicted.shape != true.shape:
        raise ValueError(f"prediction {predicted.shape} and truth {true.shape} differ")


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    return tuple(ndimage.find_objects(mask.astype(np.uint8))[0])
