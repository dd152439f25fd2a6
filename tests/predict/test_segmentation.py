from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gmrd
from gmrd.data.volume import standardise
from gmrd.errors import InputError
from gmrd.inference import Chunk
from gmrd.inference import segment as segment_slices
from gmrd.io.scan import Scan
from gmrd.module import GMRDModule
from gmrd.predict.by_network import NetworkResult
from gmrd.predict.geometry import TrainingGeometry
from gmrd.values.fit import fitted
from helpers.scans import Pair, affine, ball, reoriented, write


def test_the_call_is_the_evaluations_road(support: Pair, module: GMRDModule) -> None:
    """In the training's geometry, with every slice searched, nothing is done but inference."""
    image, _ = ball(2)
    query = Scan("b", image, affine())
    options = gmrd.Options(extent="all", n_support_slices=1, smoothing=0.0, device="cpu")
    found = gmrd.Predictor([support], checkpoint=module, options=options)(query)
    annotated, label = ball(1)
    z = 6  # the middle of the ball
    chunk = Chunk(
        torch.from_numpy(standardise(annotated)[z : z + 1]),
        torch.from_numpy(label[z : z + 1].astype(np.float32)),
        tuple(range(len(image))),
    )
    expected = segment_slices(module.network, torch.from_numpy(standardise(image)), {1: [chunk]})
    np.testing.assert_allclose(found.probabilities[1], expected[1].numpy(), atol=1e-5)


@pytest.mark.parametrize("orientation", ["RPI", "SAL"])
def test_the_result_turns_with_the_scan(
    support: Pair, module: GMRDModule, orientation: str
) -> None:
    image, _ = ball(2, shape=(14, 50, 46))
    scan = Scan("b", image, affine((4.0, 1.7, 1.9)))
    predictor = gmrd.Predictor([support], checkpoint=module, options=gmrd.Options(device="cpu"))
    straight = predictor(scan)
    turned = predictor(reoriented(scan, orientation))
    assert turned.labels.shape == turned.scan.image.shape
    expected = reoriented(Scan("p", straight.probabilities[1], scan.affine), orientation).image
    np.testing.assert_allclose(turned.probabilities[1], expected, atol=1e-4)
    assert turned.volumes_ml["label_1"] == pytest.approx(straight.volumes_ml["label_1"])


def test_several_shots_and_label_values_keep_their_codes(
    tmp_path: Path, module: GMRDModule
) -> None:
    pairs = []
    for shot in (1, 2):
        image, label = ball(shot)
        codes = label.astype(np.uint16) * 600
        codes[(codes > 0) & (np.arange(codes.shape[2]) > 14)] = 200
        pairs.append(
            (
                write(tmp_path / f"{shot}.nii.gz", image, affine()),
                write(tmp_path / f"{shot}_seg.nii.gz", codes, affine()),
            )
        )
    query = write(tmp_path / "q.nii", ball(3)[0], affine())
    found = gmrd.segment(pairs, query, module, names={600: "right part", 200: "left part"})
    assert set(np.unique(found.labels)) <= {0, 200, 600}
    assert found.labels.dtype == np.uint16
    assert set(found.volumes_ml) == {"right part", "left part"}
    assert len(found.similarity) == 2
    alone = gmrd.segment(pairs[:1], query, module, names={600: "right part"})
    assert not np.allclose(alone.probabilities[600], found.probabilities[600])


def test_volumes_are_in_millilitres(support: Pair, module: GMRDModule) -> None:
    found = gmrd.segment([support], Scan("b", ball(2)[0], affine((5.0, 2.0, 2.0))), module)
    assert found.volumes_ml["label_1"] == pytest.approx(0.02 * int((found.labels == 1).sum()))


def test_where_organs_overlap_the_more_probable_wins_and_fragments_go() -> None:
    a, b = np.zeros((2, 1, 6, 6), dtype=np.float32)
    a[0, :3], b[0, 2:] = 0.7, 0.9
    a[0, 5, 5] = 0.95
    found = NetworkResult({1: a, 2: b}, covered=1.0)
    labels = found.labels(largest_component=False)
    assert labels[0, 2, 0] == 2
    assert labels[0, 5, 5] == 1
    assert found.labels(largest_component=True)[0, 5, 5] == 0


def test_a_wrong_support_is_refused_in_words(support: Pair, module: GMRDModule) -> None:
    image, _ = support
    query = Scan("b", ball(2)[0], affine())
    with pytest.raises(InputError, match=r"no voxel of value 7: it holds \[1\]"):
        gmrd.segment([support], query, module, names={7: "spleen"})
    with pytest.raises(InputError, match="no support"):
        gmrd.segment([], query, module)
    with pytest.raises(InputError, match="is empty"):
        gmrd.segment([(image, np.zeros((12, 40, 44), dtype=np.uint8))], query, module)
    moved = write(image.parent / "moved.nii.gz", ball(1)[1], affine() + np.eye(4)[:, [3, 0, 1, 2]])
    with pytest.raises(InputError, match="away from its image"):
        gmrd.segment([(image, moved)], query, module)


def test_the_extent_follows_the_support(support: Pair, module: GMRDModule) -> None:
    """A query with slices added on both sides: most of those are not searched."""
    image, _ = ball(2)
    longer = np.concatenate([image[:1]] * 8 + [image] + [image[-1:]] * 8)
    aligned = gmrd.segment([support], Scan("b", longer, affine()), module, smoothing=0.0)
    everywhere = gmrd.segment([support], Scan("b", longer, affine()), module, extent="all")
    assert (everywhere.probabilities[1].max(axis=(1, 2)) > 0).all()
    searched = np.flatnonzero(aligned.probabilities[1].max(axis=(1, 2)) > 0)
    assert 4 <= len(searched) <= 14
    assert 8 <= searched.mean() <= 20


def test_the_trainings_geometry_is_read_from_the_checkpoint(
    support: Pair, module: GMRDModule
) -> None:
    record = {
        "orientation": "RAS",
        "spacing": [5.0, 2.5, 2.5],
        "slice_shape": [32, 32],
        "window": None,
        "clip_percentile": 99.5,
        "name": "phantom",
    }
    query = Scan("b", ball(2)[0], affine())
    before = gmrd.segment([support], query, module)
    module.hparams["scans"] = record
    try:
        predictor = gmrd.Predictor([support], checkpoint=module)
    finally:
        del module.hparams["scans"]
    assert predictor.network is not None
    assert predictor.network.geometry == TrainingGeometry("RAS", (5.0, 2.5, 2.5), (32, 32))
    assert predictor.network.intensity.clip_percentile == pytest.approx(99.5)
    kinds = {finding.kind for finding in before.findings}
    assert "unknown_training" in kinds
    assert "unknown_training" not in {f.kind for f in predictor(query).findings}


def test_a_slice_that_its_neighbours_contradict_is_doubted(
    support: Pair, module: GMRDModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    lonely = torch.zeros(12, 40, 44)
    lonely[6] = 0.8

    def found(*_: object, **__: object) -> dict[int, torch.Tensor]:
        return {1: lonely}

    monkeypatch.setattr("gmrd.predict.by_network.segment_slices", found)
    query = Scan("b", ball(2)[0], affine())
    smooth = gmrd.segment([support], query, module)
    assert "empty" in {finding.kind for finding in smooth.findings}
    np.testing.assert_allclose(smooth.probabilities[1].sum(axis=0), 0.8, atol=1e-5)
    plain = gmrd.segment([support], query, module, smoothing=0.0)
    assert (plain.labels[6] == 1).all()


@pytest.mark.parametrize(
    "options",
    [{"margin": -0.1}, {"n_support_slices": 0}, {"smoothing": -1.0}, {"batch_size": 0}],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(
        InputError, match=rf"options\.{next(iter(options))}=.*: expected a .*number"
    ):
        gmrd.Options(**options)


def test_an_unknown_device_is_refused(support: Pair, module: GMRDModule) -> None:
    with pytest.raises(InputError, match=r"options\.device=quantum: expected auto"):
        gmrd.Predictor([support], checkpoint=module, options=gmrd.Options(device="quantum"))


@pytest.mark.parametrize(
    "wrong",
    [{"orientation": "XYZ"}, {"orientation": "LLS"}, {"spacing": [1, 0, 1]}, {"spacing": 3}],
)
def test_a_geometry_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    sound = {"orientation": "LAS", "spacing": [5, 1, 1], "slice_shape": [64, 64]}
    with pytest.raises(InputError, match=rf"geometry\.{next(iter(wrong))}.*expected"):
        fitted("geometry", sound | wrong, TrainingGeometry)
