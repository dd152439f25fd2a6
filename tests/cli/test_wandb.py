"""What lands in a wandb offline run, read back from its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.commands import Train
from helpers.files import csv_rows
from helpers.offline_run import records


def test_an_offline_run_holds_everything(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))
    monkeypatch.setenv("WANDB_X_STATS_SAMPLING_INTERVAL", "0.5")
    metrics, _ = train(tmp_path, "logger=wandb")
    found = records(tmp_path)
    by_kind = {kind: [r for r in found if r.WhichOneof("record_type") == kind] for kind in
               ("history", "config", "artifact", "stats", "exit", "metric", "run")}  # fmt: skip
    history: dict[tuple[str, ...], list[Any]] = {}
    for record in by_kind["history"]:
        for item in record.history.item:
            key = tuple(item.nested_key) or (item.key,)
            history.setdefault(key, []).append(json.loads(item.value_json))
    keys = {key[0] for key in history}
    losses = {f"{stage}/{part}_loss" for stage in ("train", "val")
              for part in ("query", "align", "auxiliary")}  # fmt: skip
    assert losses | {"train/loss", "val/loss", "throughput/episodes_per_second"} <= keys
    organs = ("liver", "right_kidney", "left_kidney", "spleen")
    for organ in organs:
        for score in ("dice", "iou", "hd95", "assd"):
            name = f"test/{score}_{organ}"
            assert history.get((name,), []) == [metrics[name]] * (name in metrics)
        assert f"test/iou_{organ}" in metrics
    assert history[("test/dice",)] == [metrics["test/dice"]], "once"
    assert len(history[("val/pseudo_dice",)]) == 2, "at its two validations and not again"
    assert {"pictures/episode", "pictures/affinity", "pictures/descriptors"} <= keys

    (masks,) = history[("overlays", "all_masks")]
    assert all(set(mask) == {"truth", "prediction"} for mask in masks)
    (count,) = history[("overlays", "count")]
    assert len(masks) == count == 2 * 3, "three slices of both query cases"

    media = next(tmp_path.glob("wandb/offline-run-*/files/media"))
    (table,) = media.glob("table/cases_*.json")
    rows = json.loads(table.read_text())
    written = csv_rows(tmp_path / "scores.csv")
    assert rows["columns"][:4] == ["method", "organ", "case", "support"]
    assert [row[1:3] for row in rows["data"]] == [[r["organ"], r["case"]] for r in written]

    config = {item.key: item.value_json for record in by_kind["config"]
              for item in record.config.update}  # fmt: skip
    resolved = json.loads(config["run"])
    assert resolved["model"]["network"]["image_size"] == resolved["data"]["image_size"] == 64

    record = json.loads(config["record"])
    assert (record["name"], record["fold"], record["pretrained"]) == ("phantom", 0, None)
    assert record["settings"]["model.network.image_size"] == 64
    run = by_kind["run"][0].run
    assert (run.run_group, run.job_type) == ("gmrd_small_phantom_s1", "train")
    assert {"phantom", "setting 1", "fold 0"} <= set(run.tags)
    best = {r.metric.name: r.metric.summary for r in by_kind["metric"] if r.metric.name}
    assert best["val/pseudo_dice"].max
    assert best["val/loss"].min

    artifacts = [(r.artifact.type, set(r.artifact.aliases)) for r in by_kind["artifact"]]
    models = [aliases for kind, aliases in artifacts if kind == "model"]
    assert "best" in set.union(*models)
    assert "last" in models[-1], "or wandb's latest would be another"
    assert any(kind == "dataset" for kind, _ in artifacts)
    watched = {item.key for record in by_kind["stats"] for item in record.stats.item}
    assert any("cpu" in key for key in watched), watched
    assert len(by_kind["exit"]) == 1, "the run is finished"
    import wandb

    assert wandb.run is None


def test_a_failed_training_finishes_its_run(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    import wandb

    with pytest.raises(Exception, match="there was no validation"):
        train(
            tmp_path, "logger=wandb", "evaluation.weights=best", "trainer.max_steps=1",
            "~callbacks.pictures",
        )  # fmt: skip
    assert wandb.run is None
