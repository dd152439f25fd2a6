"""How test cases are scored: the configuration group ``evaluation``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from gmrd.data.pairing import Protocol
from gmrd.values.arguments import refuse_wrong_fields
from gmrd.values.kinds import Count, Device, Natural


@dataclass(frozen=True)
class EvaluationSettings:
    """The keys of ``conf/evaluation``; keys of other commands are ignored.

    Attributes:
        n_chunks: support slices per volume, and chunks of the query.
        protocol: ``chunks`` | ``all_slices``.
        alignment: ``none`` | ``features``: whether a support's slices are laid along the query,
            see :mod:`gmrd.evaluation.aligned`.
        adapt: steps of tuning a network on each set of supports, see :mod:`gmrd.adaptation`;
            only a GMRD is tuned.
        batch_size: query slices encoded together.
        device: ``auto`` | ``cpu`` | ``cuda``.
        save_predictions: whether to save the scored mask of every organ and case.
        baselines: whether the untrained network and a single prototype are scored, too.

    Raises:
        InputError: a value is not of the declared type.
    """

    n_chunks: Count = 3
    protocol: Protocol = "chunks"
    alignment: Literal["none", "features"] = "none"
    adapt: Natural = 0
    batch_size: Count = 8
    device: Device = "auto"
    save_predictions: bool = False
    baselines: bool = False

    def __post_init__(self) -> None:
        refuse_wrong_fields("evaluation", self)

    @classmethod
    def from_config(cls, cfg: Mapping[Any, Any]) -> EvaluationSettings:
        """Take the group's keys from a configuration that may have others."""
        return cls(**{entry.name: cfg[entry.name] for entry in fields(cls)})
