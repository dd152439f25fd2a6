"""Supports laid along their query, whose body lies elsewhere and is larger."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from gmrd.data.phantom import make_phantom
from gmrd.data.volume import Volume
from gmrd.evaluation.evaluator import Evaluator
from gmrd.evaluation.metrics import overlap_scores
from gmrd.evaluation.settings import EvaluationSettings
from gmrd.io.readers import read_label, read_scan


@pytest.fixture(scope="module")
def support(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    folder = make_phantom(tmp_path_factory.mktemp("phantom"), n_cases=1, seed=0, size=128)
    scan = read_scan(folder / "image_1.nii.gz")
    label = read_label(folder / "label_1.nii.gz", scan)
    return Volume("1", scan.image, scan.affine, label.astype(np.uint8))


def moved(volume: Volume, case_id: str) -> Volume:
    """The scan 1.15 times as large in plane, 9 pixels lower and 6 to the left."""

    def move(array: np.ndarray, order: int) -> np.ndarray:
        return np.stack([
            ndimage.affine_transform(
                piece, np.eye(2) / 1.15, offset=(-1.0, 14.0), order=order, mode="nearest"
            )
            for piece in array
        ])  # fmt: skip

    assert volume.label is not None
    return Volume(case_id, move(volume.image, 1), volume.affine, move(volume.label, 0))


def test_a_laid_support_shows_the_organ_where_the_query_does(support: Volume) -> None:
    query = moved(support, "2")
    as_it_lies, along = (
        Evaluator({1: "liver"}, EvaluationSettings(alignment=how)).chunks(query, [support], 1)
        for how in ("none", "features")
    )
    for before, after in zip(as_it_lies, along, strict=True):
        assert after.query_slices == before.query_slices
        true = query.mask(1)[after.query_slices[len(after.query_slices) // 2]]
        first, laid = (
            overlap_scores((of.support_masks[0] > 0.5).numpy(), true).dice for of in (before, after)
        )
        assert laid > max(0.8, first + 0.1)
        assert torch.equal(after.support_masks, after.support_masks.round())


def test_a_mask_that_would_leave_the_slice_stays(
    support: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = Evaluator({1: "liver"}, EvaluationSettings(alignment="features"))
    far = torch.full((1, *support.image.shape[1:], 2), 5.0)
    monkeypatch.setattr(type(evaluator._along), "_sampling_grid", lambda *_: far)
    for chunk in evaluator.chunks(support, [support], 1):
        assert chunk.support_masks.any()
