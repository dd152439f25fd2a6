"""Annotated scans and a query, matched with nothing trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gmrd.errors import InputError
from gmrd.io.scan import Scan
from gmrd.predict.by_matching import MatchingMethod
from gmrd.predict.support import read_pair
from helpers.scans import affine, ball


@pytest.fixture
def method(support: tuple[Path, Path]) -> MatchingMethod:
    return MatchingMethod([read_pair(*support)], {1: "ball"}, encoder="lite0")


def test_the_organ_is_found_in_another_scan(method: MatchingMethod) -> None:
    image, truth = ball(2)
    laid = method.lay(Scan("b", image, affine()))
    probabilities, alignments = method(laid)
    labels = method.label_map(laid, probabilities, alignments, pieces=True)
    assert labels.shape == image.shape
    assert 2 * ((labels == 1) & (truth == 1)).sum() / ((labels == 1).sum() + truth.sum()) > 0.7
    assert method.reverse(laid, labels, alignments)["ball"] > 0.5


def test_the_piece_that_leads_home_is_kept_whatever_the_evidence(method: MatchingMethod) -> None:
    image, truth = ball(1)
    laid = method.lay(Scan("a", image, affine()))
    probability = 0.6 * truth.astype(np.float32)
    probability[3:9, 4:12, 28:38] = 0.7  # more evidence, elsewhere
    alignments = method.align(laid)
    kept = method.label_map(laid, {1: probability}, alignments, pieces=True)
    assert ((kept == 1) == (truth == 1)).all()
    both = method.label_map(laid, {1: probability}, alignments, pieces=False)
    assert (both[3:9, 4:12, 28:38] == 1).all()


def test_a_speck_is_left_out_and_alone_refused(support: tuple[Path, Path]) -> None:
    scan, label = read_pair(*support)
    label = label.copy()
    label[0, 0, 0] = 2
    assert MatchingMethod([(scan, label)], {1: "ball", 2: "speck"}, encoder="lite0").skipped == [
        "speck"
    ]
    with pytest.raises(InputError, match="speck is too small to be matched"):
        MatchingMethod([(scan, label)], {2: "speck"}, encoder="lite0")
