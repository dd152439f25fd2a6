"""The index of a batch: order, advice, and that it stands alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gmrd.predict.index import advice, write_index
from gmrd.predict.triage import next_to_annotate, worst_first


def record(name: str, dice: float | None, similarity: list[float], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "status": "done",
        "volumes_ml": {"liver": 900.0, "spleen": 80.0},
        "estimated_dice": {"liver": 0.9, "spleen": dice},
        "similarity": similarity,
        "findings": [],
        "files": {"picture": f"{name}.png", "page": f"{name}.html"},
    } | more


RECORDS = [
    record("good", 0.8, [0.7, 0.6]),
    record("<poor>", 0.3, [0.5, 0.2]),
    record("lost", None, [0.3, 0.9]),
    {"name": "torn", "status": "failed", "error": "torn.nii is damaged"},
    {"name": "labels", "status": "passed_over", "error": "it is a label map"},
]


def test_failed_scans_come_first_then_the_lowest_estimates() -> None:
    names = [r["name"] for r in worst_first(RECORDS[:4])]
    assert names == ["torn", "lost", "<poor>", "good"]


def test_the_scan_least_like_its_best_support_is_suggested() -> None:
    chosen = next_to_annotate(RECORDS)
    assert chosen is not None
    assert chosen["name"] == "<poor>"
    assert next_to_annotate(RECORDS[3:]) is None
    assert "Annotate good next" in advice(RECORDS[:1])


def test_the_index_stands_alone_and_escapes(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((900, 600), np.uint8)).save(tmp_path / "good.png")
    write_index(tmp_path / "index.html", RECORDS)
    text = (tmp_path / "index.html").read_text()
    order = re.findall(r">([\w&;]+)</a>", text)
    assert order == ["lost", "&lt;poor&gt;", "good"]
    assert text.count("<img ") == 1
    assert "torn.nii is damaged" in text
    assert "it is a label map" not in text
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)=[\"']?(https?:|//)", text)
