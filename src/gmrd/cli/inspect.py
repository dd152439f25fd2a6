"""gmrd-inspect: list a data set's cases, and explain what is wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from gmrd.cli.console import command
from gmrd.errors import InputError

if TYPE_CHECKING:
    from gmrd.data.description import DatasetDescription
    from gmrd.data.inspection.findings import Finding, Portrait
    from gmrd.viz.sheet import Tile

# Libraries are imported where they are used, so that a missing setting is reported at once.

STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}

console = Console()


def inspect(
    data: DatasetDescription,
    sheet: Path | None,
    *,
    min_area: float = 200.0,
    n_jobs: int = 1,
) -> tuple[list[Portrait], list[Finding]]:
    """Inspect a data set, print the findings and draw the contact sheet.

    Args:
        data: The data set.
        sheet: File of the contact sheet; None for none.
        min_area: Smallest mask that an episode uses, in pixels.
        n_jobs: Cases inspected in parallel.

    Returns:
        The cases' portraits and all findings, the most severe first.
    """
    from gmrd.data.inspection.dataset import compare_cases, count_cases, inspect_cases
    from gmrd.viz.sheet import contact_sheet

    found = inspect_cases(data, min_area=min_area, n_jobs=n_jobs)
    portraits = list(track(found, "Inspecting", count_cases(data), console=console))
    findings = [f for p in portraits for f in p.findings] + compare_cases(data, portraits)
    findings.sort(key=lambda f: list(STYLES).index(f.severity))
    console.print(overview(data, portraits))
    report(findings)
    if sheet is not None:
        contact_sheet(sheet, tiles(portraits), data.classes)
        console.out(f"Contact sheet: {sheet}", highlight=False)
    return portraits, findings


def tiles(portraits: Sequence[Portrait]) -> list[Tile]:
    """The slice with most labels of each readable case; (!) marks errors and warnings."""
    from gmrd.viz.sheet import Tile

    found = []
    for portrait in portraits:
        if portrait.picture is not None:
            worst = {finding.severity for finding in portrait.findings}
            mark = " (!)" if worst & {"error", "warning"} else ""
            title = f"{portrait.case_id}{mark}  {portrait.orientation}"
            found.append(Tile(title, *portrait.picture))
    return found


def overview(data: DatasetDescription, portraits: Sequence[Portrait]) -> Table:
    """One row per case: geometry, supervoxels, and the volume of each class in ml."""
    title = f"{data.name}: {len(portraits)} cases in {data.root}"
    table = Table(title=escape(title), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    values = sorted({v for p in portraits for v in p.class_voxels} | set(data.classes))
    for heading in ("case", "voxels", "mm", "axes", "super-\nvoxels"):
        table.add_column(heading, no_wrap=True)
    for value in values:
        name = data.classes.get(value, "?").replace("_", "\n")
        table.add_column(escape(f"{value} {name}\nml"), justify="right")
    for portrait in portraits:
        table.add_row(
            escape(portrait.case_id),
            "×".join(map(str, portrait.shape or ())) or "unreadable",
            "×".join(f"{size:.3g}" for size in portrait.spacing or ()),
            portrait.orientation,
            "" if portrait.n_supervoxels is None else str(portrait.n_supervoxels),
            *(_millilitres(portrait, value) for value in values),
        )
    return table


def report(findings: Sequence[Finding]) -> None:
    """Print the findings; those that several cases share, only once."""
    grouped: Mapping[tuple[str, str, str], list[str]] = {}
    for finding in findings:
        key = (finding.severity, _without_path(finding), finding.meaning)
        grouped.setdefault(key, []).append(finding.case_id)  # type: ignore[attr-defined]
    for (severity, what, meaning), cases in grouped.items():
        where = f"case {', '.join(cases)}: " if any(cases) else ""
        console.print(
            f"[{STYLES[severity]}]{severity}[/] {escape(where + what)}\n    {escape(meaning)}",
            highlight=False,
        )
    n_errors = sum(finding.severity == "error" for finding in findings)
    n_warnings = sum(finding.severity == "warning" for finding in findings)
    console.print(f"{n_errors} errors, {n_warnings} warnings", style="bold")


def _without_path(finding: Finding) -> str:
    """The finding's text; missing supervoxels are one finding, though each has its own path."""
    return "no supervoxels" if finding.what.startswith("no supervoxels") else finding.what


def _millilitres(portrait: Portrait, value: int) -> str:
    if portrait.spacing is None or value not in portrait.class_voxels:
        return "-"
    x, y, z = portrait.spacing
    return f"{portrait.class_voxels[value] * x * y * z / 1000:.0f}"


@command("inspect")
def main(cfg: DictConfig) -> None:
    """Console entry point; exit status 1 if there are errors."""
    from gmrd.data.build import plain, read_description

    if cfg.sheet and Path(cfg.sheet).suffix.lower() != ".png":
        raise InputError(
            f"sheet={cfg.sheet}: it is written as PNG: choose a name that ends in .png"
        )
    _, findings = inspect(
        read_description(plain(cfg.data)),
        Path(cfg.sheet) if cfg.sheet else None,
        min_area=float(cfg.data.min_area),
        n_jobs=cfg.n_jobs,
    )
    sys.exit(int(any(finding.severity == "error" for finding in findings)))


if __name__ == "__main__":
    main()
