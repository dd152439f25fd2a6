"""Refusing to score cases and organs that the network was trained on."""

from __future__ import annotations

from gmrd.checkpoint.record import TrainingRecord
from gmrd.data.split import Split
from gmrd.errors import InputError


def refuse_what_was_seen(ckpt_path: str, record: TrainingRecord | None, split: Split) -> None:
    """Refuse to score what a checkpoint was trained on, as far as it is recorded.

    Raises:
        InputError: a case was seen, or the tested organs may have been.
    """
    if record is None:
        return
    trained_on = {record.name: record.cases or (), **record.joined}.get(split.name, ())
    seen = [case.case_id for case in split.test_cases if case.case_id in trained_on]
    if seen:
        raise InputError(
            f"{ckpt_path} was trained on {', '.join(seen)}, which fold={split.choice.fold} of "
            f"{split.name} tests: score it on fold={record.fold}"
        )
    if record.name == split.name and record.cases is not None:
        _refuse_other_setting(ckpt_path, record, split)


def _refuse_other_setting(ckpt_path: str, record: TrainingRecord, split: Split) -> None:
    if split.choice.setting != record.setting:
        raise InputError(
            f"{ckpt_path} was trained in setting {record.setting}: use "
            f"setting={record.setting} instead of {split.choice.setting}"
        )
    if split.choice.setting == 2 and split.choice.group != record.group:
        raise InputError(
            f"{ckpt_path} was trained without the organs of group {record.group}: use "
            f"data.group={record.group} instead of {split.choice.group}"
        )
