"""Names of organs: with spaces for people, with underscores in files and metrics."""

from __future__ import annotations


def spoken(organ: str) -> str:
    """``left kidney``, as people write it."""
    return organ.replace("_", " ")


def written(organ: str) -> str:
    """``left_kidney``, as files and metrics are named."""
    return organ.replace(" ", "_")
