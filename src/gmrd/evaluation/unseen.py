"""Scores are of cases and organs that the network was not trained on; others are refused."""

from __future__ import annotations

from gmrd.data.datamodule import EpisodeDataModule
from gmrd.errors import InputError
from gmrd.record import TrainingRecord


def refuse_what_was_seen(
    ckpt_path: str, record: TrainingRecord | None, datamodule: EpisodeDataModule
) -> None:
    """Refuse to score what a checkpoint was trained on, as far as it tells.

    Raises:
        InputError: a case was seen, or the tested organs may have been.
    """
    if record is None:
        return
    trained_on = {record.name: record.cases or (), **record.joined}.get(datamodule.name, ())
    seen = [case.case_id for case in datamodule.test_cases if case.case_id in trained_on]
    if seen:
        raise InputError(
            f"{ckpt_path} was trained on {', '.join(seen)}, which fold={datamodule.fold} of "
            f"{datamodule.name} tests: it held out fold={record.fold}"
        )
    if record.name == datamodule.name and record.cases is not None:
        _refuse_other_setting(ckpt_path, record, datamodule)


def _refuse_other_setting(
    ckpt_path: str, record: TrainingRecord, datamodule: EpisodeDataModule
) -> None:
    if datamodule.setting != record.setting:
        raise InputError(
            f"{ckpt_path} was trained in setting {record.setting}: add "
            f"setting={record.setting}, in place of {datamodule.setting}"
        )
    if datamodule.setting == 2 and datamodule.group != record.group:
        raise InputError(
            f"{ckpt_path} was trained without the organs of group {record.group}: add "
            f"data.group={record.group}, in place of {datamodule.group}"
        )
