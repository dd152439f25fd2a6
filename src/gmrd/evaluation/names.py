"""Organ names: with spaces for people, with underscores in files and metrics."""

from __future__ import annotations


def spoken(organ: str) -> str:
    """``left kidney``, for people."""
    return organ.replace("_", " ")


def written(organ: str) -> str:
    """``left_kidney``, for files and metrics."""
    return organ.replace(" ", "_")
