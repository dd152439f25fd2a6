"""Which checkpoint a training goes on from, and whether it can."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from gmrd.errors import InputError
from gmrd.module import GMRDModule, read_checkpoint

SAME_DATA = ("name", "fold", "setting", "group", "cases", "seed")
"""What is one training's: the data set, the part of it that is held out, and the draws."""


@rank_zero_only  # type: ignore[untyped-decorator]
def _say(text: str) -> None:
    """Tell, in the first process alone."""
    print(text)


def checkpoint_to_resume(
    ckpt_path: str | None, output_dir: Path, module: GMRDModule
) -> Path | None:
    """The checkpoint to go on from: a given file, or with ``auto`` this run's last one, if any.

    Raises:
        InputError: the file does not exist, cannot be read, or is of another training.
    """
    if ckpt_path is None:
        return None
    path = Path(ckpt_path)
    if ckpt_path == "auto":
        path = output_dir / "checkpoints" / "last.ckpt"
        if not path.is_file():
            _say(f"ckpt_path=auto: there is no {path} yet: training from the start")
            return None
    if path.is_dir():
        raise InputError(f"ckpt_path={path} is a folder: name a .ckpt in it, such as last.ckpt")
    if not path.is_file():
        raise InputError(f"ckpt_path={path}: there is no such checkpoint to resume from")
    saved = read_checkpoint(path)
    _refuse_other_training(path, saved, module)
    _say(f"going on from step {saved['global_step']} of {path}")
    return path


def _refuse_other_training(path: Path, saved: Mapping[str, Any], module: GMRDModule) -> None:
    theirs, ours = saved["hyper_parameters"], module.hparams
    shapes = {name: value.shape for name, value in saved["state_dict"].items()}
    same_network = shapes == {name: value.shape for name, value in module.state_dict().items()}
    same_optimizer = theirs["optimizer"]["name"] == ours["optimizer"]["name"]
    same_scheduler = theirs["scheduler"] == ours["scheduler"]
    for part, same in (
        ("network", same_network), ("optimizer", same_optimizer), ("scheduler", same_scheduler),
    ):  # fmt: skip
        if not same:
            raise InputError(
                f"ckpt_path={path} was trained with another {part} "
                f"({_differing(theirs[part], ours[part])}): give the settings that it was trained "
                "with, or train anew with ckpt_path=null"
            )
    _refuse_other_data(path, theirs, ours)


def _refuse_other_data(path: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Weights that have seen the cases to be scored would be said not to have."""
    before, now = ({"seed": of.get("seed"), **(of.get("scans") or {})} for of in (theirs, ours))
    for name in SAME_DATA:
        if name in before and before[name] != now.get(name):
            raise InputError(
                f"ckpt_path={path} was trained with {name}={before[name]}, here {name}="
                f"{now.get(name)}: give what it was trained with, or train anew with ckpt_path=null"
            )


def _differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    keys = [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]
    return ", ".join(f"{key}={theirs.get(key)}, here {ours.get(key)}" for key in keys)
