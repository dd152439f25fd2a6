"""The state of a visitor's page: a project, and the draft on display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Integer, Num, UInt8

from gmrd.io.orientation import UPRIGHT, reorient, restore
from gmrd.predict.brush import MOST_ORGANS, factor, grey_picture, painted, tint
from gmrd.predict.intensity import shown_range
from gmrd.predict.project import Project
from gmrd.predict.triage import Record, lowest_dice
from gmrd.viz.pictures import colour_of

Picture = UInt8[np.ndarray, "h w 4"]


class Desk:
    """A project's drafts; one is on display and can be painted on, slice by slice.

    Args:
        project: its worst draft is displayed first.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.name = ""
        self.refresh()

    def refresh(self) -> None:
        """Read the folder again and display the worst draft."""
        self.state = self.project.state()
        done = [draft for draft in self.state.drafts if draft["status"] == "done"]
        self.records = {str(draft["name"]): draft for draft in done}
        if done:
            self.show(str(done[0]["name"]))

    def show(self, name: str) -> None:
        """Display a draft."""
        self.name = name
        scan = self.project.scan(name)
        labels = self.project.labels(name, scan)
        assert labels is not None
        self.affine, self.grey = scan.affine, shown_range(scan.image)
        self.image: Num[np.ndarray, "_ _ _"] = reorient(scan.image, scan.affine, UPRIGHT)
        self.labels: Integer[np.ndarray, "_ _ _"] = np.array(reorient(labels, scan.affine, UPRIGHT))
        self.slice = int(np.argmax((self.labels > 0).sum(axis=(1, 2))))

    @property
    def names(self) -> Mapping[int, str]:
        """Label value to organ name."""
        record = self.records.get(self.name, {})
        return {value: organ for organ, value in record.get("label_values", {}).items()}

    @property
    def paintable(self) -> bool:
        """Whether each organ has its own colour, and a slice fits into a picture."""
        return 0 < len(self.names) <= MOST_ORGANS and factor(self.labels.shape[1:]) > 0

    def pictures(self) -> tuple[Picture, Picture]:
        """The current slice, and the organs on it."""
        labels = self.labels[self.slice]
        return grey_picture(self.image[self.slice], self.grey), tint(labels, list(self.names))

    def keep(self, layers: Sequence[Picture]) -> None:
        """Apply what was painted on the current slice."""
        shape = self.labels[self.slice].shape
        self.labels[self.slice] = painted(layers, list(self.names), shape)

    def add_support(self, file: str | None) -> None:
        """Make the current scan a support, with a label map from a file or as painted."""
        labels = file or restore(self.labels, self.affine, UPRIGHT)
        self.project.annotate(self.name, labels)

    def file(self, kind: str) -> Path:
        """A file of the current draft: ``labels``, ``page`` or ``picture``."""
        return self.project.drafts / str(self.records[self.name]["files"][kind])

    def table(self) -> str:
        """All scans as an HTML table, those to check first at the top."""
        organs = list(dict.fromkeys(o for r in self.records.values() for o in r["label_values"]))
        heads = ["Scan", *(f"{_swatch(self.records, o)}{escape(o)}: est. Dice, ml" for o in organs)]
        rows = [_row(draft, organs) for draft in self.state.drafts]
        pairs = [(Path(image).name, Path(label).name) for image, label in self.state.supports]
        annotated = ", ".join(f"{image} with {label}" for image, label in pairs)
        return (
            f"<p>Annotated: {escape(annotated)}</p><table><tr>"
            + "".join(f"<th>{head}</th>" for head in heads)
            + f"</tr>{''.join(rows)}</table>"
            + "".join(f"<p>{escape(note)}</p>" for note in self.state.notes)
        )

    def choices(self) -> list[tuple[str, str]]:
        """Display text and name of each scan, for a list."""
        return [
            (f"{name} (lowest est. Dice {100 * lowest_dice(record):.0f} %)", name)
            for name, record in self.records.items()
        ]


def _row(draft: Record, organs: Sequence[str]) -> str:
    if draft["status"] != "done":
        cells = [f'<td colspan="{len(organs)}">{escape(draft["error"])}</td>']
    else:
        cells = [
            f"<td>{_percent(draft['estimated_dice'].get(organ))}, "
            f"{draft['volumes_ml'].get(organ, 0):.0f}</td>"
            for organ in organs
        ]
    return f"<tr><td>{escape(str(draft['name']))}</td>{''.join(cells)}</tr>"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _swatch(records: Mapping[str, Record], organ: str) -> str:
    value = next(r["label_values"][organ] for r in records.values() if organ in r["label_values"])
    return f'<span style="color:{colour_of(value)}">■</span> '
