"""How test cases are scored: the configuration group ``evaluation``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from gmrd.data.pairing import Protocol
from gmrd.evaluation.evaluator import Alignment
from gmrd.values.kinds import Count, Device, Natural


@dataclass(frozen=True)
class EvaluationSettings:
    """The keys of ``conf/evaluation``; keys of other commands are ignored.

    Attributes:
        n_chunks: support slices per volume, and chunks of the query.
        protocol: ``chunks`` | ``all_slices``.
        alignment: ``none`` | ``features``: whether a support's slices are laid along the query,
            see :mod:`gmrd.evaluation.aligned`.
        adapt: steps of tuning on the annotated slices, see :mod:`gmrd.adaptation`.
        batch_size: query slices encoded together.
        device: ``auto`` | ``cpu`` | ``cuda``.
        save_predictions: whether to save the scored mask of every organ and case.
        baselines: whether the untrained network and a single prototype are scored, too.
    """

    n_chunks: Count
    protocol: Protocol
    alignment: Alignment
    adapt: Natural
    batch_size: Count
    device: Device
    save_predictions: bool
    baselines: bool

    @classmethod
    def from_config(cls, cfg: Mapping[Any, Any]) -> EvaluationSettings:
        """Take the group's keys from a configuration that may have others."""
        return cls(**{entry.name: cfg[entry.name] for entry in fields(cls)})
