"""What speaks against a result, said when it should be and not otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import gmrd
from gmrd.io.scan import Scan
from gmrd.module import GMRDModule
from gmrd.predict.heights import align_heights
from gmrd.predict.judgement import (
    OrganEvidence,
    ScanEvidence,
    dice_by_matching,
    dice_by_reverse,
    judge,
)
from helpers.scans import Pair, affine, ball

SOUND = OrganEvidence(volume_ml=1400.0, support_ml=1500.0, estimated_dice=0.9)


def test_a_sound_result_is_not_doubted() -> None:
    assert judge({"liver": SOUND}, ScanEvidence(similarity=0.7, covered=0.99)) == ()


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"volume_ml": 0.0, "estimated_dice": float("nan")}, "empty", "No liver"),
        ({"estimated_dice": 0.4}, "low_quality", "estimated Dice is 40 %"),
        ({"volume_ml": 400.0}, "odd_volume", "400 ml, 0.27 times"),
    ],
)
def test_each_reason_to_doubt_an_organ_is_given(
    change: dict[str, float], kind: str, words: str
) -> None:
    (finding,) = judge({"liver": replace(SOUND, **change)}, ScanEvidence())
    assert finding.kind == kind
    assert words in finding.text


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"similarity": 0.1}, "unlike_support", "Another body part"),
        ({"mirrored": True}, "mirrored", "orientation in both headers"),
        ({"same_modality": False}, "other_modality", "CT beside MRI"),
        ({"covered": 0.7}, "outside_field", "30 %"),
        ({"known_geometry": False}, "unknown_training", "geometry"),
        ({"skipped": ["duct"]}, "too_small", "duct"),
        ({"sizeless": ["patient_7"]}, "no_voxel_size", "patient_7"),
    ],
)
def test_each_reason_to_doubt_a_scan_is_given(
    change: dict[str, Any], kind: str, words: str
) -> None:
    (finding,) = judge({"liver": SOUND}, ScanEvidence(**change))
    assert finding.kind == kind
    assert words in finding.text


@pytest.mark.parametrize(
    "estimate",
    [
        dice_by_reverse,
        lambda value: dice_by_matching(value, 0.1, 0.8),
        lambda value: dice_by_matching(0.9, 1 - value, 0.8),
        lambda value: dice_by_matching(0.9, 0.1, value),
    ],
    ids=["reverse", "agreement", "misfit", "reverse of matching"],
)
def test_an_estimate_is_a_dice(estimate: Callable[[float], float]) -> None:
    estimates = [estimate(value) for value in np.linspace(0, 1.2, 13)]
    assert estimates == sorted(estimates)
    assert estimates[0] < estimates[-1]
    assert min(estimates) >= 0
    assert max(estimates) <= 1


def test_noise_is_called_unlike_the_support(support: Pair, module: GMRDModule) -> None:
    noise = np.random.default_rng(0).standard_normal((12, 40, 44)).astype(np.float32)
    found = gmrd.segment([support], Scan("noise", noise, affine()), module)
    assert "unlike_support" in {finding.kind for finding in found.findings}


def test_a_shifted_volume_is_laid_back() -> None:
    rng = np.random.default_rng(0)
    volume = rng.standard_normal((20, 8, 8)).astype(np.float32)
    volume = torch.nn.functional.interpolate(torch.from_numpy(volume)[None], size=(32, 32))[0]
    support = volume.numpy()
    laid = align_heights(support[4:18], support, 5.0, 5.0)
    np.testing.assert_allclose(laid.heights, 5.0 * np.arange(4, 18))
    assert laid.similarity == pytest.approx(1.0, abs=1e-5)


def test_a_ct_beside_mri_is_noticed(support: Pair, module: GMRDModule) -> None:
    image, _ = ball(2)
    kinds = {
        lowest: {
            f.kind for f in gmrd.segment([support], Scan("b", values, affine()), module).findings
        }
        for lowest, values in ((0, image), (-1000, image - 1000))
    }
    assert "other_modality" not in kinds[0]
    assert "other_modality" in kinds[-1000]


def test_a_lost_voxel_size_is_noticed(support: Pair, module: GMRDModule) -> None:
    image, _ = ball(2)
    found = gmrd.segment([support], Scan("b", image, np.eye(4)), module)
    assert {"no_voxel_size": "b"}.items() <= {f.kind: f.text[:1] for f in found.findings}.items()
