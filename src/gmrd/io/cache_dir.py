"""The folder for files that gmrd can recompute."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache_dir() -> Path:
    """``$GMRD_CACHE``, or ``~/.cache/gmrd``."""
    return Path(os.environ.get("GMRD_CACHE") or Path.home() / ".cache" / "gmrd")
