"""The protocols, with an oracle network that paints its support's mask back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from gmrd.data.split import EvaluationCase
from gmrd.data.volume import Volume
from gmrd.errors import InputError
from gmrd.evaluation.evaluator import Evaluator
from gmrd.evaluation.predictions import prediction_path, save_prediction
from gmrd.evaluation.settings import EvaluationSettings
from gmrd.inference import label_map
from gmrd.module import GMRDModule

AFFINE = np.diag([1.5, 1.5, 4.0, 1.0])


class PaintsSupport:
    """Predicts the support's mask wherever it is asked."""

    image_size = 16

    def describe(self, support_images: Tensor, support_masks: Tensor) -> Tensor:
        return support_masks.mean(dim=1)[0]

    def predict(self, query_images: Tensor, descriptors: list[Tensor]) -> list[Tensor]:
        return [mask.expand(len(query_images), -1, -1) * 0.9 for mask in descriptors]


def volume(case_id: str, first: int, last: int, n_slices: int = 14) -> Volume:
    """Two square organs on slices first to last."""
    label = np.zeros((n_slices, 16, 16), dtype=np.uint8)
    label[first : last + 1, 2:8, 2:8] = 1
    label[first : last + 1, 9:14, 9:14] = 2
    image = np.random.default_rng(0).standard_normal(label.shape).astype(np.float32)
    return Volume(case_id, image, AFFINE, label)


def pair() -> EvaluationCase:
    support = volume("2", 3, 9)
    return EvaluationCase(volume("1", 4, 10), {1: (support,), 2: (support,)})


def evaluator(**settings: object) -> Evaluator:
    return Evaluator({1: "one", 2: "two"}, EvaluationSettings(device="cpu", **settings))


def test_tuning_tells_how_far_it_is(module: GMRDModule) -> None:
    """Once for all cases with the same supports."""
    told: list[tuple[int, int]] = []
    tuning = replace(evaluator(adapt=2), progress=lambda step, *of: told.append(of))
    case = pair()
    for query in (case.query, volume("3", 5, 11)):
        found = tuning.probabilities(module.network, EvaluationCase(query, case.supports))
        assert found.keys() == {1, 2}
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_chunks_cover_the_organ_and_nothing_else() -> None:
    found = pair()
    chunks = evaluator().chunks(found.query, found.supports[1], 1)
    assert [chunk.query_slices for chunk in chunks] == [(4, 5), (6, 7), (8, 9, 10)]
    expected = found.supports[1][0].image[[4, 6, 8]]
    np.testing.assert_array_equal(
        torch.cat([chunk.support_images for chunk in chunks]).numpy(), expected
    )


def test_all_slices_looks_at_every_slice_once_and_not_at_the_truth() -> None:
    found = pair()
    blind = Volume("1", found.query.image, AFFINE, None)
    chunks = evaluator(protocol="all_slices").chunks(blind, found.supports[1], 1)
    assert sorted(z for chunk in chunks for z in chunk.query_slices) == list(range(14))


def test_a_right_network_scores_one() -> None:
    [(_, found, scores)] = evaluator().score({"oracle": PaintsSupport()}, [pair()])
    assert [score.score.dice for score in scores] == [1.0, 1.0]
    assert [score.organ for score in scores] == ["one", "two"]
    assert scores[0].support_ids == ("2",)
    np.testing.assert_array_equal(label_map(found["oracle"]), pair().query.label)


def test_a_voxel_that_two_classes_claim_counts_for_both() -> None:
    found = pair()
    everywhere = np.ones(found.query.image.shape, dtype=np.float32)
    for class_id, organ in ((1, "one"), (2, "two")):
        scored = evaluator()._score("all", found, class_id, everywhere)
        truth = found.query.label == class_id
        assert scored.organ == organ
        assert scored.score.dice == pytest.approx(2 * truth.sum() / (truth.sum() + truth.size))


OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = (
    Rotation.from_euler("xyz", [20, 30, 10], degrees=True).as_matrix() @ AFFINE[:3, :3]
)


@pytest.mark.parametrize("affine", [AFFINE, OBLIQUE], ids=["straight", "oblique"])
def test_distances_are_in_millimetres_of_the_scan(affine: np.ndarray) -> None:
    found = pair()
    moved = np.roll(found.query.label, 1, axis=2)  # by one voxel of 1.5 mm along x
    query = Volume("1", found.query.image, affine, moved)
    [(_, _, scores)] = evaluator().score(
        {"oracle": PaintsSupport()}, [EvaluationCase(query, found.supports)]
    )
    assert scores[0].score.mssd == pytest.approx(1.5)


def test_settings_that_cannot_be_followed() -> None:
    with pytest.raises(InputError, match=r"n_chunks=0: expected a whole number, 1 or more"):
        evaluator(n_chunks=0)


def test_not_knowing_the_extent_costs_what_lies_outside() -> None:
    blind = evaluator(protocol="all_slices")
    [(_, _, scores)] = blind.score({"oracle": PaintsSupport()}, [pair()])
    assert scores[0].score.dice == 2 * 7 / (7 + 14)


def test_shots_are_stacked() -> None:
    found = pair()
    supports = (volume("2", 3, 9), volume("3", 1, 7))
    chunks = evaluator().chunks(found.query, supports, 1)
    assert chunks[0].support_images.shape == (2, 16, 16)
    assert chunks[0].support_masks.sum() == 2 * 36


def test_a_prediction_keeps_the_query_s_geometry(tmp_path) -> None:
    import nibabel as nib

    found = pair()
    path = prediction_path(tmp_path / "new", "1", "left kidney")
    save_prediction(path, found.query, np.where(found.query.label == 2, 0.6, 0.4).astype("f4"))
    written = nib.load(path)
    np.testing.assert_allclose(written.affine, AFFINE)
    np.testing.assert_array_equal(np.asarray(written.dataobj).T, found.query.label == 2)
    assert [p.name for p in path.parent.iterdir()] == ["prediction_1_left_kidney.nii.gz"]
