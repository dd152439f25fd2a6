"""Volumes are compared by the angles of their axes, not by their nearest codes."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from gmrd.data.inspection.dataset import _odd_orientations
from gmrd.data.inspection.findings import Finding, Portrait


def turned(case: str, degrees: float, flips: tuple[int, int, int] = (1, 1, 1)) -> Portrait:
    """Axes turned about z, then flipped."""
    angle = np.radians(degrees)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, :3] *= flips
    codes = "".join(nib.aff2axcodes(matrix))
    return Portrait(case, orientation=codes, directions=matrix[:3, :3])


def found(*portraits: Portrait) -> list[Finding]:
    return list(_odd_orientations(portraits))


def test_a_few_degrees_at_45_are_no_reason_to_permute() -> None:
    near = [turned("1", 43), turned("2", 44), turned("3", 47), turned("4", 49)]
    assert len({portrait.orientation for portrait in near}) == 2
    assert found(*near) == []


def test_a_mirrored_or_permuted_volume_is_told() -> None:
    usual = [turned(str(case), 3 * case) for case in range(3)]
    for odd in (turned("9", 92), turned("9", 5, (-1, 1, 1)), turned("9", 0, (1, 1, -1))):
        (finding,) = found(*usual, odd)
        assert (finding.severity, finding.case_id) == ("warning", "9")
        assert "preparation.orientation=RAS" in finding.meaning


def test_an_oblique_volume_is_a_note_without_that_advice() -> None:
    (finding,) = found(turned("1", 0), turned("2", 1), turned("3", 38))
    assert finding.severity == "note"
    assert "preparation.orientation" not in finding.meaning
