"""Annotated scans and a query, matched with nothing trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gmrd
from gmrd.errors import InputError
from gmrd.io.scan import Scan
from gmrd.matching.dense import Evidence
from gmrd.matching.segmenter import Matched, Placed, _FineMatching, match
from gmrd.predict.by_matching import MatchingMethod, OnScan
from gmrd.predict.store import SupportStore
from gmrd.predict.support import read_pair
from helpers.scans import affine, ball

Pair = tuple[Scan, np.ndarray]


@pytest.fixture(scope="module")
def method() -> MatchingMethod:
    """A query changes nothing of it."""
    image, label = ball(1)
    return MatchingMethod([(Scan("a", image, affine()), label)], {1: "ball"}, encoder="lite0")


def test_the_organ_is_found_in_another_scan(method: MatchingMethod) -> None:
    image, truth = ball(2)
    query = method.place(Scan("b", image, affine()))
    found = method(query)
    labels = found.labels()
    assert labels.shape == found[1].shape == image.shape
    assert 2 * ((labels == 1) & (truth == 1)).sum() / ((labels == 1).sum() + truth.sum()) > 0.7
    assert method.reverse(query, labels)["ball"] > 0.5
    assert list(found) == [1]
    assert 0.6 < found.estimated[1] <= 1
    with pytest.raises(KeyError):
        found[2]


def test_one_slice_has_features_and_is_refused_by_name(support: tuple[Path, Path]) -> None:
    """NumPy took a tensor of one number of a slice for that number, and dropped an axis."""
    predictor = gmrd.Predictor([support])
    image, _ = ball(2)
    working, _ = predictor.matching.frame.resample(Scan("b", image, affine()))
    all_slices = working.coarse(predictor.matching.supports[0].encoder)
    alone = working.fine(predictor.matching.supports[0].encoder, torch.tensor([5]))
    assert alone.tokens.shape[0] == 1
    assert alone.body.shape == (1, *(2 * n for n in all_slices.body.shape[1:]))
    thin = Scan("b", image[5:8], affine((1.0, 2.0, 2.0)), source="/scans/b.nii")
    assert predictor(thin).labels.shape == thin.image.shape
    with pytest.raises(InputError, match=r"^/scans/b\.nii: .*it is one slice of 5 mm"):
        predictor(Scan("b", image[5:6], affine(), source="/scans/b.nii"))
    with pytest.raises(InputError, match=r"^/scans/b\.nii: it is 0\.\d+ mm long.*voxel size"):
        predictor(Scan("b", image, affine((0.005, 0.002, 0.002)), source="/scans/b.nii"))
    flat = Scan("b", np.full_like(image, 7), affine(), source="/scans/b.nii")
    with pytest.raises(InputError, match=r"^/scans/b\.nii: every voxel is 7"):
        predictor(flat)


def test_a_support_that_finds_nothing_right_hardly_counts(support: tuple[Path, Path]) -> None:
    good, (scan, label) = read_pair(*support), read_pair(*support)
    noise = np.random.default_rng(0).standard_normal(scan.image.shape).astype(np.float32)
    bad = Scan("noise", noise, affine()), np.roll(label, 12, axis=2)
    image, _ = ball(2)
    query = Scan("b", image, affine())
    alone, both, reversed_ = (
        method(method.place(query))
        for pairs in ([good], [good, bad], [bad, good])
        for method in [MatchingMethod(pairs, {1: "ball"}, encoder="lite0")]
    )
    expected = alone.labels() == 1
    for found in (both, reversed_):
        mask = found.labels() == 1
        assert 2 * (mask & expected).sum() / (mask.sum() + expected.sum()) > 0.9
        assert found.estimated[1] == pytest.approx(alone.estimated[1], abs=0.1)


def test_the_piece_that_leads_home_is_kept_whatever_the_evidence(method: MatchingMethod) -> None:
    image, truth = ball(1)
    query = method.place(Scan("a", image, affine()))
    organ = query.grid.slices(truth.astype(np.float32)) > 0.5
    probability = 0.6 * organ.astype(np.float32)[None]
    elsewhere = np.zeros_like(organ)
    elsewhere[3:9, 40:80, 140:190] = True  # more evidence
    probability[0][elsewhere] = 0.7
    method.keep_organs(*query.placed, *method.supports, probability)
    assert (probability[0] == np.where(organ, np.float32(0.6), 0)).all()


def test_a_registration_that_leads_astray_is_undone(
    method: MatchingMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(look: _FineMatching, _: object) -> Evidence:
        return replace(look.evidence, organs=torch.zeros_like(look.evidence.organs))

    monkeypatch.setattr(_FineMatching, "with_registered", lost)
    image, truth = ball(2)
    labels = method(method.place(Scan("b", image, affine()))).labels()
    assert 2 * ((labels == 1) & (truth == 1)).sum() / ((labels == 1).sum() + truth.sum()) > 0.7


def test_a_further_support_costs_one_match(
    support: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, label = ball(3)
    first, second = read_pair(*support), (Scan("c", image, affine()), label)
    scan, store = Scan("b", ball(2)[0], affine()), SupportStore(tmp_path)
    matched: list[object] = []

    def counted(placed: Placed, *rest: Any) -> Matched:
        matched.append(placed)
        return match(placed, *rest)

    def found(pairs: list[Pair], kept: SupportStore | None) -> OnScan:
        method = MatchingMethod(pairs, {1: "ball"}, encoder="lite0", store=kept)
        return method(method.place(scan))

    monkeypatch.setattr("gmrd.predict.by_matching.match", counted)
    plain = found([first, second], None)
    found([first], store)
    matched.clear()
    kept = found([first, second], store)
    assert len(matched) == 1
    again = found([second, first], store)
    assert len(matched) == 1
    assert (kept[1] == plain[1]).all()
    assert kept.estimated == plain.estimated
    assert (kept.consistency, kept.mirrored) == (plain.consistency, plain.mirrored)
    assert np.mean(again.labels() != plain.labels()) <= 1e-4
    for file in tmp_path.glob("*-found.pt"):
        assert file.stat().st_size < 0.25 * kept.slices.nbytes, "as if nothing was 0"
        file.write_bytes(b"torn")
    assert (found([first], store)[1] == found([first], None)[1]).all()


def test_the_number_of_threads_changes_no_more_than_rounding(method: MatchingMethod) -> None:
    scan = Scan("b", ball(2)[0], affine())
    usual = torch.get_num_threads()
    found = []
    for n_threads in (1, 2, 3):
        torch.set_num_threads(n_threads)
        found.append(method(method.place(scan)).labels())
    torch.set_num_threads(usual)
    assert max(np.mean(other != found[0]) for other in found) <= 1e-4


def test_a_mirrored_scan_is_noticed(method: MatchingMethod) -> None:
    image, _ = ball(1)
    assert not method.place(Scan("b", image, affine())).mirrored
    assert method.place(Scan("b", image[:, :, ::-1].copy(), affine())).mirrored


def test_a_speck_is_left_out_and_alone_refused(support: tuple[Path, Path]) -> None:
    scan, label = read_pair(*support)
    label = label.copy()
    label[0, 0, 0] = 2
    assert MatchingMethod([(scan, label)], {1: "ball", 2: "speck"}, encoder="lite0").skipped == [
        "speck"
    ]
    with pytest.raises(InputError, match="speck is too small to match"):
        MatchingMethod([(scan, label)], {2: "speck"}, encoder="lite0")
