"""Running a run's own ``config.yaml`` again, with all output in a new folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from gmrd.errors import InputError

WRITING = ("trainer", "callbacks", "logger")
"""Groups whose objects write to the run's folder."""

COPIED = {
    "fold": ("data.fold", "evaluation_data.fold"),
    "setting": ("data.setting", "evaluation_data.setting"),
    "seed": ("data.seed", "evaluation_data.seed", "model.seed"),
}
"""Keys from which others are interpolated; a saved configuration has all values resolved."""


def move_into(cfg: DictConfig, output_dir: Path) -> None:
    """Redirect all output of a resolved configuration to ``output_dir``.

    A saved configuration contains absolute paths of the run that saved it, whose checkpoints would
    be overwritten.

    Raises:
        InputError: the configuration does not record its folder, or a key was changed without
            those interpolated from it.
    """
    saved_in = cfg.get("output_dir")
    if saved_in is None:
        raise InputError(
            "the configuration has no output_dir, so it would write to the folder of the run "
            "that saved it: add output_dir with that run's absolute path to config.yaml"
        )
    _refuse_half_changed(cfg)
    for group in WRITING:
        _move(cfg.get(group), str(saved_in).rstrip("/"), str(output_dir))
    cfg.output_dir = str(output_dir)


def _move(part: Any, old: str, new: str) -> None:
    """Replace the folder ``old`` by ``new`` in all paths of a part of the configuration."""
    if not isinstance(part, (DictConfig, ListConfig)):
        return
    keys: Any = part if isinstance(part, DictConfig) else range(len(part))
    for key in list(keys):
        value = part[key]
        if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
            part[key] = new + value.removeprefix(old)
        else:
            _move(value, old, new)


def _refuse_half_changed(cfg: DictConfig) -> None:
    for key, followers in COPIED.items():
        for follower in followers:
            value = OmegaConf.select(cfg, follower, default=cfg[key])
            if value != cfg[key]:
                raise InputError(
                    f"{key}={cfg[key]}, but {follower}={value}: a saved config.yaml contains "
                    f"both values; set {follower}={cfg[key]}, too"
                )
