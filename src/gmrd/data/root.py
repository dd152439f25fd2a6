"""Where a data set is: asked for by every command, and answered before torch is imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gmrd.errors import InputError


def root_of(settings: Mapping[str, Any]) -> Path:
    """The folder that a ``data`` section names.

    Raises:
        InputError: it names none.
    """
    if settings.get("root") is None:
        raise InputError(
            f"data.root is not set: set data.root=/path/to/{settings['name']}, the folder that "
            f"holds {settings['images']}. {settings.get('how_to_get') or ''}".strip()
        )
    return Path(settings["root"]).expanduser()
