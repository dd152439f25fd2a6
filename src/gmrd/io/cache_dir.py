"""Folders for files that gmrd can recompute."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache_dir() -> Path:
    """``$GMRD_CACHE``, or ``~/.cache/gmrd``."""
    return Path(os.environ.get("GMRD_CACHE") or Path.home() / ".cache" / "gmrd")


def default_supports_dir() -> Path:
    """Encoded supports: ``$GMRD_CACHE/supports``, or ``~/.cache/gmrd/supports``."""
    return default_cache_dir() / "supports"
