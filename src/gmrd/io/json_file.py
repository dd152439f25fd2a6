"""JSON files that gmrd wrote, which may since have been edited, truncated or replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gmrd.errors import InputError


def read_json(path: Path, remedy: str) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        remedy: what to do about a damaged file, for the message.

    Raises:
        InputError: the file cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}): {remedy}") from error
