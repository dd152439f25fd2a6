"""Which drafts to check first, and which scan to annotate next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Record = dict[str, Any]
"""A scan's entry in a summary; ``status`` is done, failed, passed_over or annotated."""


def worst_first(records: Sequence[Record]) -> list[Record]:
    """Failed scans first, then by the lowest estimated Dice of an organ (0 if not found)."""
    return sorted(records, key=lambda record: (record["status"] != "failed", lowest_dice(record)))


def lowest_dice(record: Record) -> float:
    """The lowest estimated Dice of a scan's organs; 0 for an organ not found, 1 without organs."""
    estimates = record.get("estimated_dice", {}).values()
    return min((estimate or 0.0 for estimate in estimates), default=1.0)


def next_to_annotate(records: Sequence[Record]) -> Record | None:
    """The scan whose highest similarity to any support is lowest; None if none was segmented.

    This is the farthest-first rule: each new support is placed where the existing ones cover least.
    """
    done = [record for record in records if record["status"] == "done" and record["similarity"]]
    return min(done, key=best_similarity, default=None)


def best_similarity(record: Record) -> float:
    """The highest similarity of a scan to a support, 0 to 1."""
    return max(similarity or 0.0 for similarity in record["similarity"])
