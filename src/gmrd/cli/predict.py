"""gmrd-predict: annotated scans and new scans in, the organs of the new scans out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache, partial
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
    from gmrd.io.scan import Scan
    from gmrd.predict.batch import Batch, Step
    from gmrd.predict.inputs import Query
    from gmrd.predict.result import Segmentation
    from gmrd.predict.segmentation import Predictor

console = Console()


FORMATS = {"nifti": ".nii.gz", "dicom_seg": ".dcm"}
MOST_ROWS = 20
"""Of the table at the end; the index has all."""


@command("predict")
def main(cfg: DictConfig) -> None:
    """Console entry point; the exit status is 1 if a scan of several failed."""
    from gmrd.io.atomic import writable_folder
    from gmrd.predict.index import advice, write_index
    from gmrd.predict.inputs import find_queries

    pairs = support_pairs(cfg.support)
    supports = [file for pair in pairs for file in pair]
    queries = find_queries(_listed(cfg.query), exclude=[*supports, str(cfg.out)])
    out = writable_folder(Path(str(cfg.out)))
    with Progress(*Progress.get_default_columns(), console=console, transient=True) as bar:
        records = run(batch(cfg, pairs, bar), queries, bar)
    write_index(out / "index.html", records)
    if len(queries) > 1:
        console.print(end_table(records))
        console.print(advice(records), markup=False, highlight=False, soft_wrap=True)
    console.print(
        "Label maps, pictures, pages, index.html, summary.json:", out.resolve(), markup=False
    )
    if any(record["status"] == "failed" for record in records):
        raise SystemExit(1)


def batch(cfg: DictConfig, pairs: Sequence[tuple[str, str]], bar: Progress) -> Batch:
    """The run that the configuration describes; supports are read when the first scan is due."""
    from gmrd.io.dicom_seg import check_writable
    from gmrd.predict.batch import Batch
    from gmrd.predict.outputs import write_outputs
    from gmrd.predict.segmentation import UNTRAINED

    settings = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(settings, dict)

    @cache
    def predictor() -> Callable[[Scan], Segmentation]:
        made = _predictor(cfg, pairs, Steps(bar))

        def segment(scan: Scan) -> Segmentation:
            if cfg.format == "dicom_seg":
                check_writable(scan)
            return made(scan)

        return segment

    return Batch(
        out=Path(str(cfg.out)),
        predictor=predictor,
        write=partial(
            write_outputs,
            folder=Path(str(cfg.out)),
            ending=FORMATS[cfg.format],
            probabilities=cfg.save_probabilities,
            page=cfg.page,
        ),
        key=_key(settings, pairs),
        about={
            "checkpoint": cfg.ckpt_path or UNTRAINED,
            "support": [[str(image), str(label)] for image, label in pairs],
            "settings": settings,
        },
        again=cfg.again,
        explain=lambda error: sentence(error) or defect(error),
    )


def run(batch: Batch, queries: Sequence[Query], bar: Progress) -> list[dict[str, Any]]:
    """Segment all, and say of each what was found.

    Raises:
        InputError: the only scan failed.
    """
    task = bar.add_task("Scans", total=len(queries))
    records = []
    for step in batch.run(queries):
        if len(queries) > 1:
            console.print(line(step), highlight=False, soft_wrap=True)
        elif step.record["status"] == "failed":
            raise InputError(step.record["error"])
        else:
            show_one(step.record)
        records.append(step.record)
        bar.advance(task)
    return records


def line(step: Step) -> str:
    """A scan of several in a line."""
    record, place = step.record, f"[{step.number}/{step.total}]"
    left = "" if step.seconds_left is None else f"; {_duration(step.seconds_left)} left"
    if step.record["status"] != "done":
        return escape(f"{place} {record['name']}: {record['error']}{left}")
    found = ", ".join(
        f"{organ} {volume:.0f} ml ({_percent(record['estimated_dice'][organ])})"
        for organ, volume in record["volumes_ml"].items()
    )
    took = "finished before" if step.kept else f"{record['seconds']:.1f} s"
    return escape(f"{place} {record['name']}: {found}; {took}{left}")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def show_one(record: dict[str, Any]) -> None:
    """The only scan of a run."""
    if record["status"] == "done":
        console.print(table(record))
    for finding in record.get("findings", []):
        console.print(f"[yellow]note:[/] {escape(finding['text'])}", highlight=False)


def end_table(records: Sequence[dict[str, Any]]) -> Table:
    """All scans, those to look at first on top."""
    from gmrd.predict.triage import lowest_dice, worst_first

    rows = Table(title="Look at these first", title_justify="left")
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


def _key(settings: dict[Any, Any], pairs: Sequence[tuple[str, str]]) -> str:
    """Of all that a result depends on beside the scan."""
    from gmrd.io.digest import digest
    from gmrd.predict.store import code_digest

    files = [file for pair in pairs for file in pair]
    if settings["ckpt_path"]:
        files.append(settings["ckpt_path"])
    own = ("names", "format", "save_probabilities", "page", "options", "geometry", "intensity")
    facts = [code_digest(), [digest(file) for file in files], {k: settings[k] for k in own}]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:20]


def support_pairs(support: DictConfig) -> list[tuple[str, str]]:
    """The K pairs of scan and label that the configuration names."""
    images, labels = _listed(support.image), _listed(support.label)
    if len(images) != len(labels):
        raise InputError(
            f"support.image names {len(images)} files and support.label {len(labels)}: every "
            "support scan needs its own label map, in the same order"
        )
    return list(zip(images, labels, strict=True))


def table(record: dict[str, Any]) -> Table:
    """The organs of one scan, for the terminal."""
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
    """Shows the step of a scan that is being done under the bar of all scans."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.task: TaskID = bar.add_task("Reading", total=None)

    def __call__(self, step: str, done: int, total: int) -> None:
        """The progress of one step, see :data:`gmrd.matching.scan.Progress`."""
        self.bar.update(self.task, description=step, completed=done, total=total)


def _predictor(cfg: DictConfig, pairs: Sequence[tuple[str, str]], steps: Steps) -> Predictor:
    from gmrd.predict.segmentation import Predictor
    from gmrd.predict.store import default_store

    given = fitted_keys("predict", cfg)
    return Predictor(
        pairs,
        checkpoint=given["ckpt_path"],
        names=given["names"],
        geometry=given["geometry"],
        intensity=given["intensity"],
        progress=steps,
        store=default_store() if cfg.keep_support else None,
        options=given["options"],
    )


def _listed(value: str | ListConfig) -> list[str]:
    return [str(v) for v in value] if isinstance(value, ListConfig) else [str(value)]
