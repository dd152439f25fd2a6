"""What a fold's scores are compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torchvision.models import resnet18

from gmrd.checkpoint.record import TrainingRecord
from gmrd.evaluation.about import _encoder
from gmrd.evaluation.fold import _untrained
from gmrd.module import GMRDModule

RECORD = TrainingRecord(
    name="phantom", orientation="LAS", spacing=(6.0, 1.5, 1.5), slice_shape=(64, 64)
)


def test_the_untrained_network_has_the_weights_that_training_began_with(
    module: GMRDModule, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    start = resnet18().state_dict()
    torch.save(start, tmp_path / "start.pth")
    loaded = GMRDModule.rebuilt(module.hparams)  # which forgets where its weights came from
    loaded.hparams["scans"] = replace(RECORD, pretrained=str(tmp_path / "start.pth")).to_plain()
    found = _untrained(loaded).state_dict()
    torch.testing.assert_close(
        found["encoder.layer3.1.conv2.weight"], start["layer3.1.conv2.weight"]
    )
    loaded.hparams["scans"] = RECORD.to_plain()
    random = _untrained(loaded).state_dict()
    assert not torch.equal(random["encoder.layer3.1.conv2.weight"], start["layer3.1.conv2.weight"])


def test_a_table_names_the_encoder_that_was_used() -> None:
    lite = {"_target_": "gmrd.nn.lite_features.LiteFeatures", "name": "lite1"}
    assert _encoder({"backbone": "resnet101", "encoder": lite}) == "LiteFeatures lite1"
    assert _encoder({"encoder": {"_target_": "mine.Unet"}}) == "Unet"
    assert _encoder({"backbone": "resnet18", "encoder": None}) == "resnet18"
