"""A prediction's files: label map, probabilities, contact sheet, page and summary."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gmrd.io.atomic import replacing
from gmrd.io.marks import MARK
from gmrd.predict.intensity import shown_range
from gmrd.predict.result import Segmentation
from gmrd.viz.pictures import side_by_side


def write_outputs(
    found: Segmentation,
    folder: Path,
    *,
    extension: str = ".nii.gz",
    probabilities: bool = False,
    page: bool = True,
) -> dict[str, Any]:
    """Write all files of a result to ``folder`` and return its record.

    ``<name>_seg.nii.gz`` (or another extension) is the label map, ``<name>.png`` the contact
    sheet, ``<name>.html`` a page with all slices, and ``<name>_probability_<organ>.nii.gz`` an
    organ's probability map, if requested.
    """
    name = found.scan.name
    files = {"labels": found.save(folder / f"{name}_seg{extension}").name}
    if probabilities:
        parts = file_names(found.names)
        for value, probability in found.probabilities.items():
            file = folder / f"{name}_probability_{parts[value]}.nii.gz"
            saved = found.scan.save(file, probability, description=MARK)
            files[f"probability_{found.names[value]}"] = saved.name
    files["picture"] = f"{name}.png"
    image, labels, (_, height, width) = found.upright()
    side_by_side(
        folder / files["picture"],
        image,
        {"prediction": labels},
        dict(found.names),
        title=name,
        aspect=height / width,
        grey=shown_range(image),
    )
    if page:
        from gmrd.predict.page import write_page

        files["page"] = f"{name}.html"
        write_page(folder / files["page"], found)
    return record(found) | {"files": files}


def file_names(names: Mapping[int, str]) -> dict[int, str]:
    """Organ names for use in file names: without separators, and unique."""
    plain = {value: re.sub(r"[^\w.+-]+", "_", name)[:60] for value, name in names.items()}
    alike = Counter(plain.values())
    return {v: name if alike[name] == 1 else f"{name}_{v}" for v, name in plain.items()}


def record(found: Segmentation) -> dict[str, Any]:
    """A scan's entry in the summary; NaN becomes None."""
    return {
        "name": found.scan.name,
        "source": found.scan.source,
        "shape_xyz": list(found.scan.image.shape[::-1]),
        "spacing_xyz_mm": [round(v, 4) for v in found.scan.spacing[::-1]],
        "volumes_ml": {organ: round(v, 2) for organ, v in found.volumes_ml.items()},
        "label_values": {organ: value for value, organ in found.names.items()},
        "estimated_dice": {organ: _number(v) for organ, v in found.quality.items()},
        "similarity": [_number(v) for v in found.similarity],
        "findings": [asdict(finding) for finding in found.findings],
        "seconds": round(found.seconds, 2),
    }


def write_summary(path: Path, about: Mapping[str, Any], records: list[dict[str, Any]]) -> None:
    """Write the JSON summary of a run."""
    with replacing(path) as temporary:
        text = json.dumps({"about": dict(about), "scans": records}, indent=2, allow_nan=False)
        temporary.write_text(text + "\n")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)
