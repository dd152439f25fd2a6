"""Which organ has a voxel, and which pieces are kept."""

from __future__ import annotations

import numpy as np

from gmrd.matching.labels import count_pieces, evident_pieces, most_probable


def test_the_most_probable_organ_has_a_voxel_above_the_threshold() -> None:
    a = np.array([[[0.5, 0.3, 0.4, 0.0]]], dtype=np.float32)
    b = np.array([[[0.4, 0.2, 0.6, 0.0]]], dtype=np.float32)
    assert most_probable(np.stack([a, b]), [600, 2]).tolist() == [[[600, 0, 2, 0]]]


def test_evidence_outweighs_size() -> None:
    probability = np.zeros((1, 8, 20), dtype=np.float32)
    probability[0, :, :10] = 0.4  # large and faint
    probability[0, 2:6, 14:18] = 0.95
    probability[0, 0, 19] = 0.5  # a crumb
    mask = probability > 0.38
    first, second = evident_pieces(mask, probability)
    assert (first == (probability > 0.94)).all()
    assert (second == (probability == np.float32(0.4))).all()
    assert evident_pieces(mask & False, probability) == []


def test_crumbs_are_no_pieces() -> None:
    mask = np.zeros((4, 20, 20), dtype=bool)
    assert count_pieces(mask) == 1
    mask[:, 2:8, 2:8] = True
    mask[0, 15, 15] = True
    assert count_pieces(mask) == 1
    mask[:, 12:18, 2:8] = True
    assert count_pieces(mask) == 2
