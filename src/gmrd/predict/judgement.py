"""What speaks against trusting a segmentation, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gmrd.inference import Chunk, resize
from gmrd.nn.network import GMRD

LOW_AFFINITY = 0.6
LOW_SIMILARITY = 0.3
VOLUME_RATIO = 3.0
LEAST_COVERED = 0.9
SLICES_JUDGED = 4


@dataclass(frozen=True)
class Finding:
    """A reason to doubt: a short ``kind`` for programs and a sentence for people."""

    kind: str
    text: str


def judge(
    *,
    volumes: Mapping[str, float],
    support_volumes: Mapping[str, float],
    affinity: Mapping[str, float],
    similarity: float,
    same_kind: bool,
    covered: float,
    known_geometry: bool,
    packaged: bool,
) -> tuple[Finding, ...]:
    """All reasons to doubt a result, the gravest first.

    Args:
        volumes: ml of every organ found.
        support_volumes: ml of every organ annotated, on average.
        affinity: of what was found with the annotated, 1 as in the support itself.
        similarity: mean slice correlation of the query with the most similar support.
        same_kind: whether query and supports are all in Hounsfield units, or none is.
        covered: share of the query's brightness that the network's slices cover.
        known_geometry: whether the checkpoint told how its training scans lay.
        packaged: whether the network is the packaged one.
    """
    found = [*_organ_findings(volumes, support_volumes, affinity)]
    if similarity < LOW_SIMILARITY:
        found.append(
            Finding(
                "unlike_support",
                f"The scan looks unlike every support (slice correlation {similarity:.2f}, below "
                f"{LOW_SIMILARITY}): another body part, orientation or modality? "
                "Use a support that was acquired like this scan.",
            )
        )
    if not same_kind:
        found.append(
            Finding(
                "other_modality",
                "Of the scan and its supports one holds values as low as those of air in a CT and "
                "another does not: CT beside MRI? Use a support of the scan's own kind.",
            )
        )
    if covered < LEAST_COVERED:
        found.append(
            Finding(
                "outside_field",
                f"{100 * (1 - covered):.0f} % of the scan's signal lies outside the field that the "
                "network sees: organs near its edge are cut off.",
            )
        )
    if not known_geometry:
        found.append(
            Finding(
                "unknown_training",
                "The checkpoint does not tell how its training scans lay; the first support's "
                "geometry was taken for it. Set geometry.* if they differ.",
            )
        )
    if packaged:
        found.append(
            Finding(
                "phantom_network",
                "This is the packaged network, trained on computer-made phantoms only: it shows "
                "how the tool works. Train on real scans for anything else.",
            )
        )
    return tuple(found)


def _organ_findings(
    volumes: Mapping[str, float],
    support_volumes: Mapping[str, float],
    affinity: Mapping[str, float],
) -> list[Finding]:
    found = []
    for name, volume in volumes.items():
        if volume == 0:
            found.append(Finding("empty", f"No {name} was found at all."))
            continue
        if not affinity[name] >= LOW_AFFINITY:
            found.append(
                Finding(
                    "low_affinity",
                    f"What was marked as {name} resembles the annotated {name} little (affinity "
                    f"{affinity[name]:.2f} of the support's own, below {LOW_AFFINITY}): the case "
                    "looks out of distribution.",
                )
            )
        ratio = volume / support_volumes[name]
        if not 1 / VOLUME_RATIO < ratio < VOLUME_RATIO:
            found.append(
                Finding(
                    "odd_volume",
                    f"{name} measures {volume:.0f} ml, {ratio:.2g} times the support's "
                    f"{support_volumes[name]:.0f} ml.",
                )
            )
    return found


@torch.inference_mode()
def affinity_ratio(
    network: GMRD,
    image: Float32[np.ndarray, "z y x"],
    probability: Float32[np.ndarray, "z y x"],
    chunks: Sequence[Chunk],
) -> float:
    """How much the found region resembles the annotated one, as 1 the annotated does itself.

    Resemblance is the mean cosine of a region's features with the mean annotated feature; the
    scale runs from the support's background (0) to its foreground (1). Only the slices with
    most of the organ are looked at. Nan where nothing was found.
    """
    area = (probability > 0.5).sum(axis=(1, 2))
    judged = [int(z) for z in np.argsort(-area, kind="stable")[:SLICES_JUDGED] if area[z] > 0]
    ratios = []
    for chunk in chunks:
        slices = [z for z in judged if z in chunk.query_slices]
        if not slices:
            continue
        support = _features(network, chunk.support_images)
        inside = _small(network, chunk.support_masks)
        mean = (support * inside[:, None]).sum((0, 2, 3)) / inside.sum().clamp(min=1e-6)
        query = _features(network, torch.from_numpy(image[slices]))
        found = _small(network, torch.from_numpy((probability[slices] > 0.5).astype(np.float32)))
        low, high = _cosine(support, mean, 1 - inside), _cosine(support, mean, inside)
        ratio = (_cosine(query, mean, found) - low) / max(high - low, 1e-6)
        ratios += [ratio] * len(slices)
    return float(np.mean(ratios)) if ratios else float("nan")


def _features(network: GMRD, slices: Float[Tensor, "n h w"]) -> Float[Tensor, "n c hf wf"]:
    device = next(network.parameters()).device
    features: Tensor = network.encoder(resize(slices, network.image_size).to(device))
    return features.float()


def _small(network: GMRD, masks: Float[Tensor, "n h w"]) -> Float[Tensor, "n hf wf"]:
    device = next(network.parameters()).device
    side = network.image_size // 4
    return torch.nn.functional.adaptive_avg_pool2d(masks[:, None], side)[:, 0].to(device)


def _cosine(
    features: Float[Tensor, "n c hf wf"],
    mean: Float[Tensor, " c"],
    weights: Float[Tensor, "n hf wf"],
) -> float:
    cosine = torch.nn.functional.cosine_similarity(features, mean[None, :, None, None], dim=1)
    return float((cosine * weights).sum() / weights.sum().clamp(min=1e-6))
