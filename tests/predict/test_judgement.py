"""What speaks against a result, said when it should be and not otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gmrd.predict.matching import align_heights

import gmrd
from gmrd.io.scan import Scan
from gmrd.module import GMRDModule
from gmrd.predict.judgement import affinity_ratio, judge
from helpers.scans import affine, ball

from .test_segmentation import Pair

SOUND: dict[str, Any] = {
    "volumes": {"liver": 1400.0},
    "support_volumes": {"liver": 1500.0},
    "affinity": {"liver": 0.9},
    "similarity": 0.7,
    "same_kind": True,
    "covered": 0.99,
    "known_geometry": True,
    "packaged": False,
}


def test_a_sound_result_is_not_doubted() -> None:
    assert judge(**SOUND) == ()


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"volumes": {"liver": 0.0}, "affinity": {"liver": float("nan")}}, "empty", "No liver"),
        ({"affinity": {"liver": 0.4}}, "low_affinity", "out of distribution"),
        ({"volumes": {"liver": 400.0}}, "odd_volume", "400 ml, 0.27 times"),
        ({"similarity": 0.1}, "unlike_support", "another body part"),
        ({"same_kind": False}, "other_modality", "CT beside MRI"),
        ({"covered": 0.7}, "outside_field", "30 %"),
        ({"known_geometry": False}, "unknown_training", "geometry"),
        ({"packaged": True}, "phantom_network", "phantoms only"),
    ],
)
def test_each_reason_is_given(change: dict[str, Any], kind: str, words: str) -> None:
    (finding,) = judge(**(SOUND | change))
    assert finding.kind == kind
    assert words in finding.text


def test_the_support_resembles_itself(support: Pair, module: GMRDModule) -> None:
    """Affinity is 1 for the annotated region and 0 for its surroundings, by construction."""
    image, label = ball(1)
    predictor = gmrd.Predictor(
        [support], checkpoint=module, options=gmrd.Options(extent="all", n_support_slices=1)
    )
    laid = predictor.supports[0]
    (chunk,) = predictor._chunks(1, [align_heights(laid.image, laid.image, 5.0, 5.0)])
    z = 6
    mask = np.zeros(image.shape, dtype=np.float32)
    mask[z] = label[z]
    network = module.network.eval()
    own = affinity_ratio(network, laid.image, mask, [chunk])
    mask[z] = 1 - label[z]
    assert own == pytest.approx(1.0, abs=1e-3)
    assert affinity_ratio(network, laid.image, mask, [chunk]) == pytest.approx(0.0, abs=1e-3)
    assert np.isnan(affinity_ratio(network, laid.image, 0 * mask, [chunk]))


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
