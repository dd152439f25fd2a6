"""A run's own ``config.yaml``, run again: everything it writes goes into the new folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from gmrd.errors import InputError

WRITING = ("trainer", "callbacks", "logger")
"""Groups whose objects write into the run's folder."""

COPIED = {
    "fold": ("data.fold", "evaluation_data.fold"),
    "setting": ("data.setting", "evaluation_data.setting"),
    "seed": ("data.seed", "evaluation_data.seed", "model.seed"),
}
"""Keys that others follow, until a saved configuration fixes them all."""


def move_into(cfg: DictConfig, output_dir: Path) -> None:
    """Point all that a resolved configuration writes at ``output_dir``.

    A saved configuration names the folder of the run that saved it, in full, and would overwrite
    that run's checkpoints.

    Raises:
        InputError: the configuration does not say which folder it was saved in, or a key that
            others follow was changed without them.
    """
    saved_in = cfg.get("output_dir")
    if saved_in is None:
        raise InputError(
            "the configuration has no output_dir, so it would write into the folder of the run "
            "that saved it: add output_dir and that run's full path to config.yaml"
        )
    _refuse_half_changed(cfg)
    for group in WRITING:
        _move(cfg.get(group), str(saved_in).rstrip("/"), str(output_dir))
    cfg.output_dir = str(output_dir)


def _move(part: Any, old: str, new: str) -> None:
    """Replace the folder ``old`` by ``new`` in every path of a part of the configuration."""
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
                    f"{key}={cfg[key]}, but {follower}={value}: a saved config.yaml has both "
                    f"written out; set {follower}={cfg[key]}, too"
                )
