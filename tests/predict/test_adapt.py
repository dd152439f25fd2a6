"""Tuning before prediction, and intensities as the network's training had them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import gmrd
from gmrd.io.scan import Scan
from gmrd.matching.ranks import standardised_ranks
from gmrd.module import GMRDModule
from gmrd.predict.by_matching import MatchingMethod
from gmrd.predict.geometry import Grid
from gmrd.predict.intensity import Intensity
from gmrd.predict.support import read_pair
from helpers.scans import Pair, affine, ball


def test_the_matching_is_tuned_once_for_all_queries(support: tuple[Path, Path]) -> None:
    told: list[tuple[str, int]] = []
    method = MatchingMethod(
        [read_pair(*support)], {1: "ball"}, encoder="lite0", adapt=3,
        progress=lambda task, done, total: told.append((task, done)),
    )  # fmt: skip
    image, truth = ball(2)
    first, again = (method(method.place(Scan("b", image, affine()))).labels() for _ in range(2))
    assert [done for task, done in told if task.startswith("Tuning")] == [0, 1, 2, 3]
    assert np.array_equal(first, again)
    assert 2 * ((first == 1) & (truth == 1)).sum() / ((first == 1).sum() + truth.sum()) > 0.7


def test_a_network_is_tuned_and_its_module_is_not(support: Pair, module: GMRDModule) -> None:
    told: list[int] = []
    before = {name: value.clone() for name, value in module.network.state_dict().items()}
    predictor = gmrd.Predictor(
        [support], checkpoint=module, options=gmrd.Options(device="cpu", adapt=2),
        progress=lambda task, done, total: told.append(done) if "slices" in task else None,
    )  # fmt: skip
    assert told == [0, 1, 2]
    assert predictor.network is not None
    tuned = predictor.network.network.state_dict()
    assert not all(torch.equal(tuned[name], value) for name, value in before.items())
    after = module.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("given", [None, Intensity(clip_percentile=99.0)])
def test_a_network_trained_on_ranks_gets_ranks(
    support: Pair, module: GMRDModule, given: Intensity | None
) -> None:
    module.hparams["scans"] = {
        "name": "phantom", "orientation": "RAS", "spacing": [5.0, 2.5, 2.5],
        "slice_shape": [32, 32], "intensity": "ranks",
    }  # fmt: skip
    try:
        predictor = gmrd.Predictor([support], checkpoint=module, intensity=given)
    finally:
        del module.hparams["scans"]
    assert predictor.network is not None
    scan, _ = read_pair(*support)
    clipped = scan.image if given is None else np.minimum(scan.image, np.percentile(scan.image, 99))
    slices = Grid.between(scan, predictor.network.geometry).slices(clipped.astype(np.float32))
    np.testing.assert_allclose(
        predictor.network.supports[0].image, standardised_ranks(slices), atol=1e-5
    )
