"""gmrd-predict: segment new scans from annotated ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from gmrd.cli.console import command
from gmrd.cli.declared import fitted_keys
from gmrd.cli.refusals import defect, sentence
from gmrd.errors import InputError

if TYPE_CHECKING:
    from gmrd.predict.batch import Step

console = Console()


MOST_ROWS = 20
"""Rows of the final table; the index lists all scans."""


@command("predict")
def main(cfg: DictConfig) -> None:
    """Console entry point; exit status 1 if one of several scans failed."""
    from gmrd.io.atomic import writable_folder
    from gmrd.predict.index import advice, write_index
    from gmrd.predict.inputs import find_queries
    from gmrd.predict.settings import Settings

    plain = OmegaConf.to_container(cfg, resolve=True)
    settings = Settings.of(fitted_keys("predict", cfg))
    pairs = support_pairs(cfg.support)
    supports = [file for pair in pairs for file in pair]
    queries = find_queries(listed(cfg.query), exclude=[*supports, str(cfg.out)])
    out = writable_folder(Path(str(cfg.out)))
    with Progress(*Progress.get_default_columns(), console=console, transient=True) as bar:
        batch = settings.batch(
            pairs,
            out,
            progress=Steps(bar),
            about={"settings": plain},
            again=cfg.again,
            explain=explained,
        )
        records = run(batch.run(queries), bar, alone=len(queries) == 1)
    write_index(out / "index.html", records)
    if len(queries) > 1:
        console.print(end_table(records))
        console.out(advice(records), highlight=False)
    console.out(
        f"Label maps, pictures, pages, index.html, summary.json: {out.resolve()}",
    )
    if any(record["status"] == "failed" for record in records):
        raise SystemExit(1)


def explained(error: Exception) -> str:
    """An error of one scan as a sentence."""
    return sentence(error) or defect(error)


def run(steps: Iterable[Step], bar: Progress, *, alone: bool = False) -> list[dict[str, Any]]:
    """Run all steps and print the result of each scan.

    Raises:
        InputError: the scan is ``alone`` and failed.
    """
    task = bar.add_task("Scans", total=None)
    records = []
    for step in steps:
        if not alone:
            console.print(line(step), highlight=False, soft_wrap=True)
        elif step.record["status"] == "failed":
            raise InputError(step.record["error"])
        else:
            show_one(step.record)
        records.append(step.record)
        bar.update(task, total=step.total, completed=step.number)
    return records


def line(step: Step) -> str:
    """One of several scans, in a line."""
    record, place = step.record, f"[{step.number}/{step.total}]"
    left = "" if step.seconds_left is None else f"; {_duration(step.seconds_left)} left"
    if step.record["status"] != "done":
        return escape(f"{place} {record['name']}: {record['error']}{left}")
    found = ", ".join(
        f"{organ} {volume:.0f} ml ({_percent(record['estimated_dice'][organ])})"
        for organ, volume in record["volumes_ml"].items()
    )
    took = "already done" if step.kept else f"{record['seconds']:.1f} s"
    return escape(f"{place} {record['name']}: {found}; {took}{left}")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def show_one(record: dict[str, Any]) -> None:
    """Print the result of a run with a single scan."""
    if record["status"] == "done":
        console.print(table(record))
    for finding in record.get("findings", []):
        console.print(f"[yellow]note:[/] {escape(finding['text'])}", highlight=False)


def end_table(records: Sequence[dict[str, Any]]) -> Table:
    """All scans, those to check first at the top."""
    from gmrd.predict.triage import lowest_dice, worst_first

    rows = Table(title="Check these first", title_justify="left")
    for heading in ("scan", "lowest est. Dice / %", "remarks"):
        rows.add_column(heading, justify="right" if "Dice" in heading else "left")
    shown = worst_first([r for r in records if r["status"] != "passed_over"])
    for record in shown[:MOST_ROWS]:
        failed = record["status"] == "failed"
        remarks = [record["error"]] if failed else [f["text"] for f in record["findings"]]
        estimate = "–" if failed else _percent(lowest_dice(record))
        rows.add_row(escape(record["name"]), estimate, escape(" ".join(remarks)))
    if len(shown) > MOST_ROWS:
        rows.caption = f"and {len(shown) - MOST_ROWS} more, see index.html"
    return rows


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def support_pairs(support: DictConfig) -> list[tuple[str, str]]:
    """The K pairs of scan and label map in the configuration."""
    images, labels = listed(support.image), listed(support.label)
    if len(images) != len(labels):
        raise InputError(
            f"support.image has {len(images)} files and support.label {len(labels)}: give one "
            "label map for each support scan, in the same order"
        )
    return list(zip(images, labels, strict=True))


def table(record: dict[str, Any]) -> Table:
    """The organs of one scan as a table."""
    title = f"{escape(record['name'])} ({record['seconds']:.1f} s)"
    rows = Table(title=title, title_justify="left")
    for heading in ("organ", "label", "volume / ml", "est. Dice / %"):
        rows.add_column(heading, justify="left" if heading == "organ" else "right")
    for organ, volume in record["volumes_ml"].items():
        quality = record["estimated_dice"][organ]
        rows.add_row(
            escape(organ),
            str(record["label_values"][organ]),
            f"{volume:.1f}",
            "–" if quality is None else f"{100 * quality:.0f}",
        )
    return rows


class Steps:
    """Shows the current step of a scan below the progress bar of all scans."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.task: TaskID = bar.add_task("Reading", total=None)

    def __call__(self, step: str, done: int, total: int) -> None:
        """Show the progress of a step, see :data:`gmrd.matching.scan.Progress`."""
        self.bar.update(self.task, description=step, completed=done, total=total)


def listed(value: str | ListConfig | None) -> list[str]:
    """One or several paths as a list; empty for null."""
    if value is None:
        return []
    return [str(v) for v in value] if isinstance(value, ListConfig) else [str(value)]


if __name__ == "__main__":
    main()
