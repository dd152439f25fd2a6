"""gmrd-predict: annotated scans and new scans in, the organs of the new scans out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from gmrd.cli.console import command
from gmrd.errors import InputError

if TYPE_CHECKING:
    from gmrd.predict.intensity import Intensity
    from gmrd.predict.segmentation import Predictor

console = Console()


FORMATS = {"nifti": ".nii.gz", "dicom_seg": ".dcm"}


@command("predict")
def main(cfg: DictConfig) -> None:
    """Console entry point."""
    from gmrd.io.atomic import writable_folder
    from gmrd.predict.inputs import find_queries
    from gmrd.predict.outputs import write_summary

    if cfg.format not in FORMATS:
        raise InputError(f"format={cfg.format}: choose one of {', '.join(FORMATS)}")
    pairs = support_pairs(cfg.support)
    queries = find_queries(str(cfg.query), exclude=[file for pair in pairs for file in pair])
    out = writable_folder(Path(str(cfg.out)))
    with Progress(console=console, transient=True) as bar:
        predictor = _predictor(cfg, pairs, Steps(bar))
        scans = bar.add_task("Scans", total=len(queries))
        records = []
        for query in queries:
            records.append(_segment(predictor, query, out, cfg))
            bar.advance(scans)
    about = {
        "checkpoint": predictor.checkpoint,
        "support": [[str(image), str(label)] for image, label in pairs],
        "settings": OmegaConf.to_container(cfg, resolve=True),
    }
    write_summary(out / "summary.json", about, records)
    console.print("Label maps, pictures, pages and summary.json:", out.resolve(), markup=False)


def _segment(predictor: Predictor, query: Path, out: Path, cfg: DictConfig) -> dict[str, Any]:
    """Segment one scan, write what was found, say it, and return its record."""
    from gmrd.io.dicom_seg import check_writable
    from gmrd.io.readers import read_scan
    from gmrd.predict.outputs import write_outputs

    scan = read_scan(query)
    if cfg.format == "dicom_seg":
        check_writable(scan)
    found = predictor(scan)
    record = write_outputs(
        found,
        out,
        ending=FORMATS[cfg.format],
        probabilities=cfg.save_probabilities,
        page=cfg.page,
    )
    console.print(table(record))
    for finding in found.findings:
        console.print(f"[yellow]note:[/] {escape(finding.text)}", highlight=False)
    return record


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
    from gmrd.predict.geometry import TrainingGeometry
    from gmrd.predict.options import Options
    from gmrd.predict.segmentation import Predictor

    geometry, intensity = cfg.get("geometry"), cfg.get("intensity")
    return Predictor(
        pairs,
        checkpoint=cfg.ckpt_path,
        names=organ_names(cfg.names),
        geometry=geometry and TrainingGeometry.from_record(geometry),
        intensity=intensity and intensity_of(intensity),
        progress=steps,
        options=Options.from_settings(OmegaConf.to_container(cfg.options, resolve=True)),  # type: ignore[arg-type]
    )


def organ_names(names: DictConfig | None) -> dict[int, str] | None:
    """Label value to organ name.

    Raises:
        InputError: a key is no label value.
    """
    try:
        return (
            {int(str(value)): str(name) for value, name in names.items()}
            if names is not None
            else None
        )
    except (AttributeError, ValueError) as error:
        raise InputError(f"names={names}: give label values, as in names={{1: liver}}") from error


def intensity_of(settings: DictConfig) -> Intensity:
    """What to do to intensities, as the configuration says.

    Raises:
        InputError: a setting is unknown.
    """
    from gmrd.predict.intensity import Intensity

    given: dict[str, Any] = {str(key): value for key, value in settings.items()}
    try:
        if given.get("window") is not None:
            low, high = given["window"]
            given["window"] = (float(low), float(high))
        if given.get("clip_top_percent") is not None:
            given["clip_top_percent"] = float(given["clip_top_percent"])
        return Intensity(**given)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"intensity={settings}: give window or clip_top_percent") from error


def _listed(value: str | ListConfig) -> list[str]:
    return [str(v) for v in value] if isinstance(value, ListConfig) else [str(value)]
