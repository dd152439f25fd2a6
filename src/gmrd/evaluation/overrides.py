"""Hydra's overrides as text."""

from __future__ import annotations


def key_of(override: str) -> str:
    """The key of ``key=value``, without a leading ``+``, ``++`` or ``~``."""
    return override.split("=")[0].lstrip("+~")
