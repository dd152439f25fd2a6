"""What speaks against trusting a segmentation, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LOW_DICE = 0.6
"""An estimate below this is a finding."""
LOW_SIMILARITY = 0.4
BY_RETURN = 1.0, 0.08
BY_AGREEMENT = 1.258, -0.298
"""Slope and intercept of an organ's Dice, see docs/predict.md."""
VOLUME_RATIO = 3.0
LEAST_COVERED = 0.9


@dataclass(frozen=True)
class Finding:
    """A reason to doubt: a short ``kind`` for programs and a sentence for people."""

    kind: str
    text: str


def judge(
    *,
    volumes: Mapping[str, float],
    support_volumes: Mapping[str, float],
    quality: Mapping[str, float],
    similarity: float,
    mirrored: bool,
    same_kind: bool,
    covered: float,
    known_geometry: bool,
    skipped: Sequence[str],
) -> tuple[Finding, ...]:
    """All reasons to doubt a result, the gravest first.

    Args:
        volumes: ml of every organ found.
        support_volumes: ml of every organ annotated, on average.
        quality: estimated Dice of every organ; nan where nothing was found.
        similarity: share of the query's places whose matches in the support lead back to them.
        mirrored: whether the scan resembles its supports more when it is mirrored.
        same_kind: whether query and supports are all in Hounsfield units, or none is.
        covered: share of the query's brightness that the network's slices cover.
        known_geometry: whether the checkpoint told how its training scans lay.
        skipped: names of organs too small to be looked for.
    """
    found = [*_organ_findings(volumes, support_volumes, quality)]
    if similarity < LOW_SIMILARITY:
        found.append(
            Finding(
                "unlike_support",
                f"The scan looks unlike every support: {100 * similarity:.0f} % of its places are "
                f"matched consistently, below {100 * LOW_SIMILARITY:.0f} %. Another body part, "
                "orientation or modality? Use a support that was acquired like this scan.",
            )
        )
    if mirrored:
        found.append(
            Finding(
                "mirrored",
                "The scan resembles its support more when it is mirrored: is the orientation in "
                "both headers right? Left and right organs may be exchanged.",
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
                "The checkpoint does not state the geometry of its training scans; the first "
                "support's was used. Set geometry.* if they differ.",
            )
        )
    if skipped:
        found.append(
            Finding(
                "too_small",
                f"{', '.join(skipped)}: annotated too small to be matched, and left out.",
            )
        )
    return tuple(found)


def _organ_findings(
    volumes: Mapping[str, float],
    support_volumes: Mapping[str, float],
    quality: Mapping[str, float],
) -> list[Finding]:
    found = []
    for name, volume in volumes.items():
        if volume == 0:
            found.append(Finding("empty", f"No {name} was found at all."))
            continue
        if quality[name] < LOW_DICE:
            found.append(
                Finding(
                    "low_quality",
                    f"{name} is probably poor: its estimated Dice is {100 * quality[name]:.0f} %. "
                    "Look at it before it is used.",
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


def dice_by_return(reverse: float) -> float:
    """An organ's expected Dice from the Dice of its support with what its finding leads back to.

    For what a network found; see :func:`dice_by_agreement` for what was matched.
    """
    return _on_line(reverse, BY_RETURN)


def dice_by_agreement(agreement: float) -> float:
    """An organ's expected Dice from how far its regions and shape agree with what was matched."""
    return _on_line(agreement, BY_AGREEMENT)


def _on_line(value: float, line: tuple[float, float]) -> float:
    slope, intercept = line
    return min(1.0, max(0.0, slope * value + intercept))
