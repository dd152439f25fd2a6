"""Choosing the checkpoint to resume from, and checking that it fits."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from gmrd.checkpoint.file import read_checkpoint
from gmrd.checkpoint.record import TrainingRecord
from gmrd.components import name_of
from gmrd.errors import InputError
from gmrd.module import GMRDModule
from gmrd.values.arguments import TARGET

SAME = (
    "name", "fold", "setting", "group", "cases", "joined", "seed",
    "window", "clip_percentile", "orientation", "spacing", "slice_shape",
)  # fmt: skip
"""What identifies a training: the data, the tested part, and the seed."""


@rank_zero_only  # type: ignore[untyped-decorator]
def _say(text: str) -> None:
    """Print a message in the first process only."""
    print(text)


def checkpoint_to_resume(
    ckpt_path: str | None, output_dir: Path, module: GMRDModule
) -> Path | None:
    """The checkpoint to resume from: a given file, or for ``auto`` this run's last one, if any.

    Raises:
        InputError: the file does not exist, cannot be read, or is of another training.
    """
    if ckpt_path is None:
        return None
    path = Path(ckpt_path)
    if ckpt_path == "auto":
        path = output_dir / "checkpoints" / "last.ckpt"
        if not path.is_file():
            _say(f"ckpt_path=auto: {path} does not exist yet: training from scratch")
            return None
    if path.is_dir():
        raise InputError(f"ckpt_path={path} is a folder: name a .ckpt in it, such as last.ckpt")
    if not path.is_file():
        raise InputError(
            f"ckpt_path={path} does not exist, so there is no checkpoint to resume from"
        )
    saved = read_checkpoint(path)
    _refuse_other_training(path, saved, module)
    if "global_step" not in saved:
        raise InputError(
            f"ckpt_path={path} contains only weights, as gmrd-export and gmrd-convert write them: "
            "there is no training to resume"
        )
    _say(f"resuming from step {saved['global_step']} of {path}")
    return path


PARTS = ("network", "loss", "optimizer", "scheduler", "rates")
"""Hyper-parameters of the module that decide its training."""


def _refuse_other_training(path: Path, saved: Mapping[str, Any], module: GMRDModule) -> None:
    theirs, ours = saved["hyper_parameters"], module.hparams
    before, now = theirs.get(TARGET, name_of(GMRDModule)), ours[TARGET]
    if before != now:
        raise InputError(
            f"ckpt_path={path} was trained with another module (model._target_={before}, here "
            f"{now}): use the one that it was trained with, or train from "
            "scratch with ckpt_path=null"
        )
    record, current = (TrainingRecord.from_plain(of.get("scans")) for of in (theirs, ours))
    for part in PARTS:
        found = _differing(*_comparable(theirs.get(part), ours.get(part), record))
        if not found and part == "network":
            found = _differing(_shapes(saved["state_dict"]), _shapes(module.state_dict()))
        if found:
            raise InputError(
                f"ckpt_path={path} was trained with {'other' if part == 'rates' else 'another'} "
                f"{part} ({found}): use the settings that it was trained with, or train from "
                "scratch with ckpt_path=null"
            )
    _refuse_other_draws(path, {"seed": theirs.get("seed")}, {"seed": ours.get("seed")})
    if record is None or current is None or record.cases is None:
        _say(f"note: {path} does not record its training data: it may have seen cases of this fold")
        return
    # Otherwise, cases seen in training could be scored as unseen.
    _refuse_other_draws(path, *_comparable(_facts(record), _facts(current), record))


def _comparable(
    theirs: Mapping[str, Any] | None, ours: Mapping[str, Any] | None, record: TrainingRecord | None
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Both settings, a missing one as None; what another version does not record is ignored."""
    before, now = theirs or {}, ours or {}
    if record is not None and record.versions.get("gmrd") == version("gmrd"):
        before = dict.fromkeys(now) | dict(before)
    return before, now


def _refuse_other_draws(path: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    for name, before in theirs.items():
        if before != ours.get(name):
            raise InputError(
                f"ckpt_path={path} was trained with {name}={before}, here {name}="
                f"{ours.get(name)}: use what it was trained with, or train from scratch with "
                "ckpt_path=null"
            )


def _facts(record: TrainingRecord) -> dict[str, Any]:
    """What must be equal to resume a training; versions may differ.

    Model settings are not included, since the components were already compared.
    """
    plain = record.to_plain()
    facts: dict[str, Any] = {name: plain[name] for name in SAME}
    settings = record.settings.items()
    return facts | {key: value for key, value in settings if not key.startswith("model.")}


def _differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """The settings in ``theirs`` that differ here."""
    keys = [key for key in theirs if theirs[key] != ours.get(key)]
    return ", ".join(f"{key}={theirs[key]}, here {ours.get(key)}" for key in keys)


def _shapes(state: Mapping[str, Any]) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in state.items()}
