"""Hydra's overrides as text: which key one is of."""

from __future__ import annotations


def key_of(override: str) -> str:
    """The key of ``key=value``, without the signs that add, replace or delete it."""
    return override.split("=")[0].lstrip("+~")
