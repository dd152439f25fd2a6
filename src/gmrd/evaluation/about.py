"""The conditions of scores: those that a table reports, and those that it must not mix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gmrd.checkpoint.record import TrainingRecord, record_of
from gmrd.data.split import Split
from gmrd.evaluation.settings import EvaluationSettings
from gmrd.module import GMRDModule
from gmrd.values.arguments import TARGET


def about(
    module: GMRDModule,
    split: Split,
    settings: EvaluationSettings,
    steps: str | None,
) -> dict[str, object]:
    """The conditions of a fold's scores, reported with them.

    Args:
        module: the scored module, with the record of its training.
        split: the data.
        settings: of the evaluation.
        steps: number of training steps; None if unknown.
    """
    record = record_of(module)
    own = module.hparams["network"].get("encoder")
    return {
        "data": split.name,
        "trained_on": record.name if record else None,
        "fold": split.choice.fold,
        "setting": split.choice.setting,
        "protocol": settings.protocol,
        "chunks": settings.n_chunks,
        "alignment": settings.alignment,
        "adapt": settings.adapt,
        "support": split.choice.support,
        "exclusion": split.choice.exclusion if split.choice.setting == 2 else "none",
        "group": split.choice.group,
        "variant": module.variant,
        "backbone": _encoder(module.hparams["network"]),
        "pretrained": (record.pretrained or "none") if record and not own else None,
        "steps": steps,
        "seed": int(module.hparams["seed"]),
    }


def _encoder(network: Mapping[str, Any]) -> str | None:
    """The ResNet, or the class of another encoder with the network that it names."""
    encoder = network.get("encoder")
    if not encoder:
        return network.get("backbone")
    kind = str(encoder[TARGET]).rpartition(".")[2]
    return " ".join(filter(None, (kind, encoder.get("name"))))


def decided_by(module: GMRDModule, split: Split) -> dict[str, object]:
    """Everything else that the scores depend on, except fold, seed and group."""
    record = record_of(module)
    scored = {
        "n_folds": split.data.n_folds,
        "fold_order": split.data.fold_order,
        "folds": split.data.folds,
        "n_cases": split.data.n_cases,
        "exclude": [str(case) for case in split.data.exclude],
        "n_shot": split.choice.n_shot,
        "classes": list(split.classes.values()),
    }
    return {
        "training": dict(record.settings) if record else {},
        "scored": scored,
    }


def steps_taken(
    done: int | None, record: TrainingRecord | None, selected: str = "last"
) -> str | None:
    """The steps of a network for a table: ``36000``, ``5000 of 36000`` or ``best of 36000``."""
    if done is None:
        return None
    planned = None if record is None else record.max_steps
    steps = str(done) if planned in (None, -1, done) else f"{done} of {planned}"
    return steps if selected == "last" else f"{selected} of {steps}"
