"""Collecting finished runs: tables on the console and in files, and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from gmrd.errors import InputError
from gmrd.evaluation import comparison
from gmrd.evaluation.crossvalidation import cross_validate, find_runs
from gmrd.evaluation.panels import cases_figure, panels_of
from gmrd.evaluation.report import write_page
from gmrd.evaluation.tables import rich_table, write_tables

console = Console()


def gather(source: Path, out: Path, *, with_page: bool) -> None:
    """Print and write the table of the runs in ``source``, and the page if requested."""
    runs = find_runs(source)
    result = cross_validate(runs)
    write_tables(result, out)
    console.print(rich_table(result))
    console.out(f"Tables: {out}/table.md, .csv, .json")
    if with_page:
        try:
            panels = panels_of(runs)
        except InputError as error:  # the runs may come from another folder or machine
            console.print(f"[yellow]no pictures of cases:[/] {escape(str(error))}")
            panels = {}
        figure = cases_figure(panels, result.title) if panels else None
        page = write_page(result, runs, figure, out)
        console.out(f"Page: {page}")


def compare(conditions: Mapping[str, Sequence[Path]], out: Path) -> None:
    """Print and write a row of Dice for each condition, from the runs in its folders."""
    results = {
        condition: cross_validate([run for folder in folders for run in find_runs(folder)])
        for condition, folders in conditions.items()
    }
    comparison.write_comparison(results, out)
    console.print(comparison.rich_table(results))
    console.out(f"Comparison: {out}/comparison.md, .csv")
