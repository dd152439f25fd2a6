"""The root folder of a data set, checked before torch is imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gmrd.errors import InputError
from gmrd.io.formats import expanded


def root_of(settings: Mapping[str, Any]) -> Path:
    """The root folder in a ``data`` section.

    Raises:
        InputError: it is not set.
    """
    if settings.get("root") is None:
        raise InputError(
            f"data.root is not set: set data.root=/path/to/{settings['name']}, the folder that "
            f"holds {settings['images']}. {settings.get('how_to_get') or ''}".strip()
        )
    return expanded(settings["root"])
