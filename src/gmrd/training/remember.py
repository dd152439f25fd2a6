"""Recording a training's settings in its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import nibabel as nib
from omegaconf import DictConfig, OmegaConf

from gmrd.checkpoint.record import Plain, TrainingRecord
from gmrd.data.datamodule import EpisodeDataModule
from gmrd.io.readers import read_geometry
from gmrd.module import GMRDModule
from gmrd.nn.pretrained import RANDOM
from gmrd.values.arguments import TARGET

TRAINER = (
    "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm", "precision",
    "overfit_batches", "limit_train_batches", "sync_batchnorm",
)  # fmt: skip
"""Trainer settings that affect the result."""

TRAINING = ("WeightAveraging", "AccumulationScheduler", "Finetuning")
"""Name endings of Lightning's callbacks that affect the result; all others only observe."""

OWN_ENTRY = frozenset({"fold", "setting", "group", "seed"})
"""Settings with their own entry in the record."""

ELSEWHERE = frozenset({"root", "cache_dir", "how_to_get", "num_workers", "check_geometry"})
"""Settings that differ between machines or do not affect the result."""


def remember(cfg: DictConfig, module: GMRDModule, datamodule: EpisodeDataModule) -> None:
    """Record how the module is trained, for its checkpoints.

    Args:
        cfg: the resolved configuration of the training.
        module: gets the record among its hyper-parameters.
        datamodule: the training data.
    """
    record = _record(cfg, module, datamodule)
    module.hparams["scans"] = {} if record is None else record.to_plain()


def _record(
    cfg: DictConfig, module: GMRDModule, datamodule: EpisodeDataModule
) -> TrainingRecord | None:
    split = datamodule.split
    cases = split.train_cases
    if not cases:
        return None
    geometry = read_geometry(cases[0].image)
    z, y, x = (round(size, 6) for size in geometry.spacing)
    preparation = split.data.preparation
    window = preparation.window if preparation else None
    percentile = preparation.clip_percentile if preparation else None
    joined = [other.split for other in datamodule.joined]
    pretrained = cfg.model.network.get("pretrained")
    return TrainingRecord(
        name=split.name,
        orientation="".join(nib.aff2axcodes(geometry.affine)),
        spacing=(z, y, x),
        slice_shape=geometry.shape[1:],
        window=None if window is None else (float(window[0]), float(window[1])),
        clip_percentile=None if percentile is None else float(percentile),
        intensity=split.data.intensity,
        cases=tuple(case.case_id for case in cases),
        joined={of.name: tuple(c.case_id for c in of.train_cases) for of in joined},
        fold=split.choice.fold,
        setting=split.choice.setting,
        group=split.choice.group,
        seed=int(module.hparams["seed"]),
        variant=module.variant,
        pretrained=None if pretrained in RANDOM else str(pretrained),
        max_steps=int(cfg.trainer.max_steps),
        settings=deciding(cfg),
        versions={"gmrd": version("gmrd"), "torch": version("torch")},
    )


def deciding(cfg: DictConfig) -> dict[str, Plain]:
    """All settings that affect the result, by key, without those of the machine."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    callbacks = plain.get("callbacks") or {}
    chosen = {
        "data": plain["data"],
        "model": plain["model"],
        "trainer": {key: plain["trainer"].get(key) for key in TRAINER},
        "callbacks": {name: of for name, of in callbacks.items() if _trains(of)},
    }
    return {
        key: value
        for key, value in _flat(chosen)
        if key.rsplit(".", 1)[-1] not in OWN_ENTRY | ELSEWHERE
    }


def _trains(callback: Mapping[str, Any] | None) -> bool:
    return str((callback or {}).get(TARGET)).endswith(TRAINING)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Plain]]:
    """Leaves of nested settings with their dotted keys."""
    if not isinstance(value, Mapping):
        yield (
            prefix,
            list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value,
        )
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
