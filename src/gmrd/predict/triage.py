"""Which drafts to look at first, and which scan to annotate next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Record = dict[str, Any]
"""What a summary says of a scan; ``status`` is one of done, failed, passed_over."""


def worst_first(records: Sequence[Record]) -> list[Record]:
    """Failed scans, then by the lowest estimated Dice of an organ; an organ not found counts 0."""
    return sorted(records, key=lambda record: (record["status"] != "failed", lowest_dice(record)))


def lowest_dice(record: Record) -> float:
    """The lowest estimated Dice of a scan's organs; 0 where one was not found, 1 without organs."""
    estimates = record.get("estimated_dice", {}).values()
    return min((estimate or 0.0 for estimate in estimates), default=1.0)


def next_to_annotate(records: Sequence[Record]) -> Record | None:
    """The scan least like all supports: whose best similarity with any support is lowest.

    This is the farthest-first rule: every further support is put where the supports so far
    reach least. None where no scan was segmented.
    """
    done = [record for record in records if record["status"] == "done" and record["similarity"]]
    return min(done, key=best_similarity, default=None)


def best_similarity(record: Record) -> float:
    """With the support that a scan is most like, 0 to 1."""
    return max(similarity or 0.0 for similarity in record["similarity"])
