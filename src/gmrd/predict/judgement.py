"""Reasons to doubt a segmentation, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

LOW_DICE = 0.6
"""An estimate below this is a finding."""
LOW_SIMILARITY = 0.4
BY_REVERSE = 1.0, 0.08
"""Slope and intercept of the regression to an organ's Dice, see docs/predict.md."""
BY_MATCHING = 1.07, -0.91, 0.35, -0.28
"""The same for an organ that matching found: of its agreement, its misfit and its reverse Dice,
and the intercept."""
VOLUME_RATIO = 3.0
LEAST_COVERED = 0.9


@dataclass(frozen=True)
class Finding:
    """A reason to doubt: a short ``kind`` for programs and a sentence for people."""

    kind: str
    text: str


@dataclass(frozen=True)
class OrganEvidence:
    """What is known of an organ that was searched for.

    Attributes:
        volume_ml: found in the query.
        support_ml: annotated in a support, on average.
        estimated_dice: 0 to 1; nan where nothing was found.
    """

    volume_ml: float
    support_ml: float
    estimated_dice: float


@dataclass(frozen=True)
class ScanEvidence:
    """What is known of a query beside its organs; the defaults give no reason to doubt.

    Attributes:
        similarity: share of the query's positions whose matches in the support are cycle
            consistent.
        mirrored: whether the query matches its support better after mirroring.
        same_modality: whether query and supports are all in Hounsfield units, or none is.
        covered: share of the query's signal within the network's field of view.
        known_geometry: whether the checkpoint records the geometry of its training volumes.
        skipped: names of organs too small to match.
        sizeless: names of the scans among query and supports whose voxel size seems lost.
    """

    similarity: float = 1.0
    mirrored: bool = False
    same_modality: bool = True
    covered: float = 1.0
    known_geometry: bool = True
    skipped: Sequence[str] = ()
    sizeless: Sequence[str] = ()


def judge(organs: Mapping[str, OrganEvidence], scan: ScanEvidence) -> tuple[Finding, ...]:
    """All reasons to doubt a result: those of each organ, by name, then those of the scan."""
    found = [finding for name, organ in organs.items() for finding in _of_organ(name, organ)]
    return (*found, *_of_scan(scan))


def _of_scan(scan: ScanEvidence) -> Iterator[Finding]:
    if scan.similarity < LOW_SIMILARITY:
        yield Finding(
            "unlike_support",
            f"The scan does not resemble any support: only {100 * scan.similarity:.0f} % of its "
            f"positions match consistently (below {100 * LOW_SIMILARITY:.0f} %). Another body "
            "part, orientation or modality? Use a support acquired like this scan.",
        )
    if scan.mirrored:
        yield Finding(
            "mirrored",
            "The scan matches its support better when mirrored: is the orientation in both "
            "headers right? Left and right organs may be swapped.",
        )
    if not scan.same_modality:
        yield Finding(
            "other_modality",
            "Either the scan or a support has values as low as air in CT, but not both: CT beside "
            "MRI? Use supports of the scan's modality.",
        )
    if scan.covered < LEAST_COVERED:
        yield Finding(
            "outside_field",
            f"{100 * (1 - scan.covered):.0f} % of the scan's signal lies outside the network's "
            "field of view: organs near its edge are cut off.",
        )
    if not scan.known_geometry:
        yield Finding(
            "unknown_training",
            "The checkpoint does not record the geometry of its training scans; the first "
            "support's was used. Set geometry.* if they differ.",
        )
    if scan.sizeless:
        yield Finding(
            "no_voxel_size",
            f"{', '.join(scan.sizeless)}: few slices, with voxels of exactly 1 × 1 × 1 mm: was the "
            "voxel size lost in a conversion? Matching and volumes need the true one.",
        )
    if scan.skipped:
        yield Finding(
            "too_small", f"{', '.join(scan.skipped)}: too small in the support to match; skipped."
        )


def _of_organ(name: str, organ: OrganEvidence) -> Iterator[Finding]:
    if organ.volume_ml == 0:
        yield Finding("empty", f"No {name} was found.")
        return
    if organ.estimated_dice < LOW_DICE:
        yield Finding(
            "low_quality",
            f"{name} is probably poor: its estimated Dice is {100 * organ.estimated_dice:.0f} %. "
            "Check it before use.",
        )
    ratio = organ.volume_ml / organ.support_ml
    if not 1 / VOLUME_RATIO < ratio < VOLUME_RATIO:
        yield Finding(
            "odd_volume",
            f"{name} measures {organ.volume_ml:.0f} ml, {ratio:.2g} times the support's "
            f"{organ.support_ml:.0f} ml.",
        )


def dice_by_reverse(reverse: float) -> float:
    """Expected Dice of an organ that a network found, from its reverse Dice.

    See :mod:`gmrd.matching.reverse`; for organs found by matching see :func:`dice_by_matching`.
    """
    slope, intercept = BY_REVERSE
    return _share(slope * reverse + intercept)


def dice_by_matching(agreement: float, misfit: float, reverse: float) -> float:
    """Expected Dice of an organ that matching found.

    Args:
        agreement: ratio of refined to matched probabilities within the organ's label.
        misfit: of its registered mask, see :class:`gmrd.matching.segmenter.Matched`.
        reverse: its reverse Dice, see :mod:`gmrd.matching.reverse`.
    """
    by_agreement, by_misfit, by_reverse, intercept = BY_MATCHING
    return _share(by_agreement * agreement + by_misfit * misfit + by_reverse * reverse + intercept)


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
