"""Commands that cannot be done, by kind: each ends in one sentence and status 2."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from helpers.raw_data import write_chaost2
from helpers.scans import affine, ball, write


@dataclass(frozen=True)
class Command:
    """One command in a folder of its own, which :func:`furnish` filled.

    Attributes:
        kind: what is wrong.
        given: the command's name and its settings.
        says: words of the sentence, in lower case.
        before: what else is done to the folder.
    """

    kind: str
    given: tuple[str, ...]
    says: str
    before: Callable[[], Any] | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {' '.join(self.given)[:120]}"


PREDICT = ("predict", "support.image=a.nii.gz", "support.label=a_seg.nii.gz", "keep_support=false")
PREPARE = ("prepare", "data=chaost2", "source=download", "root=prepared", "n_jobs=1")
SERIES = Path("download/MR/1/T2SPIR/DICOM_anon")
MASKS = Path("download/MR/1/T2SPIR/Ground")


def furnish(folder: Path) -> None:
    """Put two scans, a label map and a download into a folder."""
    image, label = ball(1)
    write(folder / "a.nii.gz", image, affine())
    write(folder / "a_seg.nii.gz", label, affine())
    write(folder / "b.nii.gz", ball(2)[0], affine())
    (folder / "file").touch()
    whole = np.rint(image.clip(0)).astype(np.uint16)
    write_chaost2(folder / "download", "1", whole, label, (5.0, 2.0, 2.0))


def odd_commands() -> list[Command]:
    """All of them."""
    return [*of_labels(), *of_queries(), *of_projects(), *of_folders(), *of_preparation()]


def of_labels() -> Iterator[Command]:
    def label(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[], Any]:
        return lambda: write(Path("odd.nii.gz"), change(ball(1)[1].astype(np.float32)), affine())

    changes: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
        "fractions": (lambda v: v / 2, "whole numbers"),
        "negative": (lambda v: -v, "whole numbers"),
        "NaN": (lambda v: np.where(v > 0, np.nan, v), "whole numbers"),
        "infinite": (lambda v: np.where(v > 0, np.inf, v), "whole numbers"),
        "beyond int32": (lambda v: v * 1e12, "whole numbers"),
        "empty": (lambda v: 0 * v, "empty"),
        "of another shape": (lambda v: v[1:], "shape"),
        "a voxel": (lambda v: v * (np.arange(v.size).reshape(v.shape) == v.argmax()), "too small"),
    }
    for name, (change, says) in changes.items():
        given = (*PREDICT, "support.label=odd.nii.gz", "query=b.nii.gz", "out=out")
        yield Command(f"label map {name}", given, says, label(change))
    elsewhere = affine()
    elsewhere[0, 0] *= -1
    yield Command(
        "label map mirrored",
        (*PREDICT, "support.label=odd.nii.gz", "query=b.nii.gz", "out=out"),
        "away from its image",
        lambda: write(Path("odd.nii.gz"), ball(1)[1], elsewhere),
    )


def of_queries() -> Iterator[Command]:
    def query(kind: str, says: str, before: Callable[[], Any]) -> Command:
        return Command(f"query {kind}", (*PREDICT, "query=odd.nii.gz", "out=out"), says, before)

    image = ball(2)[0]
    for kind, (array, spacing, says) in {
        "of one slice": (image[5:6], 5.0, r"^odd\.nii\.gz: .* one slice of 5 mm.* needs two"),
        "of a voxel": (image[:1, :1, :1], 5.0, "one slice"),
        "constant": (0 * image + 7, 5.0, r"^odd\.nii\.gz: every voxel is 7"),
    }.items():
        matrix = affine((spacing, 2.0, 2.0))
        yield query(kind, says, partial(write, Path("odd.nii.gz"), array, matrix))
    nowhere = partial(os.symlink, "nowhere", "odd.nii.gz")
    yield query("a link to nothing", "does not exist", nowhere)


def of_projects() -> Iterator[Command]:
    def project(kind: str, says: str, text: str) -> Command:
        given = ("project", "folder=study", "keep_support=false")
        return Command(f"project {kind}", given, says, partial(_project_file, text))

    invalid = r"study/project\.yaml is not a valid project: it needs"
    yield project("of nothing", invalid, "")
    yield project("of a number", invalid, "5")
    yield project("without scans", invalid, "support: []")
    yield project("with tabs", r"is not a valid project \(while scanning", "query:\n\t- a")
    yield project("of Python", "could not determine a constructor", "!!python/name:os.system")


def _project_file(text: str) -> None:
    Path("study").mkdir()
    Path("study/project.yaml").write_text(text)


def of_folders() -> Iterator[Command]:
    onto = ("images=.", "out=.", "image_pattern={case}.nii.gz", "out_pattern={case}.nii.gz")
    yield Command(
        "supervoxels onto their images",
        ("supervoxels", *onto, "overwrite=true"),
        r"a\.nii\.gz is the input and would overwrite it",
    )
    yield Command(
        "supervoxels smoothed away",
        ("supervoxels", "images=.", "out=out", "image_pattern={case}.nii.gz", "sigma=1e6",
         "min_size=50", "workers.n_jobs=1"),
        "of 3 volumes failed",
    )  # fmt: skip
    for setting, says in {
        "ckpt_path=file": "file is not a checkpoint",
        "ckpt_path=missing.ckpt": "no checkpoint at missing.ckpt",
        "options.device=cuda:99": "options.device=cuda:99",
    }.items():
        yield Command("app, setting", ("app", setting, "port=7997"), says)
    inspect = ("inspect", "data=phantom", "data.root=.", "n_jobs=1")
    for setting, says in {
        "sheet=x.jpg": "written as png",
        "data.classes={1: liver, 2: liver}": "more than one class liver",
    }.items():
        yield Command("inspection, setting", (*inspect, setting), says)


def each_slice(edit: Callable[[int, Any], Any]) -> Callable[[], None]:
    """Change the headers of the download's series."""

    def change() -> None:
        import pydicom

        for z, file in enumerate(sorted(SERIES.iterdir())):
            slice_ = pydicom.dcmread(file)
            edit(z, slice_)
            slice_.save_as(file)

    return change


def each_file(folder: Path, edit: Callable[[bytes], bytes]) -> Callable[[], None]:
    def change() -> None:
        for file in sorted(folder.iterdir())[2:4]:
            file.write_bytes(edit(file.read_bytes()))

    return change


def without(keyword: str) -> Callable[[], None]:
    return each_slice(lambda z, s: delattr(s, keyword))


def of_preparation() -> Iterator[Command]:
    def prepare(kind: str, says: str, *given: str, before: Any = None) -> Command:
        return Command(f"preparation, {kind}", (*PREPARE, *given), says, before)

    yield prepare("DICOM cut off", "truncated|cannot be read", before=each_file(
        SERIES, lambda data: data[: len(data) // 2]))  # fmt: skip
    yield prepare("DICOM without an end", "truncated|cannot be read", before=each_file(
        SERIES, lambda data: data[:-3]))  # fmt: skip
    yield prepare("DICOM of noise", "masks|dicom|missing", before=each_file(
        SERIES, lambda data: bytes(reversed(data))))  # fmt: skip
    for keyword in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "Rows",
                    "SamplesPerPixel", "BitsStored", "PhotometricInterpretation"):  # fmt: skip
        yield prepare(
            f"no {keyword}", f"{keyword.lower()}|no dicom series", before=without(keyword)
        )
    for name, edit in {
        "cut off": lambda data: data[: len(data) // 2],
        "of noise": lambda data: data[:60] + bytes(reversed(data[60:])),
        "empty": lambda data: b"",
        "text": lambda data: b"hello",
        "a JPEG's beginning": lambda data: b"\xff\xd8\xff\xe0" + data,
    }.items():
        yield prepare(f"PNG {name}", "cannot be read as png", before=each_file(MASKS, edit))
    yield prepare("PNG a pipe", "not a regular file", before=_mask_pipe)
    yield prepare("PNG missing", "png masks", before=lambda: min(MASKS.iterdir()).unlink())
    yield prepare("no masks", "no label", before=lambda: shutil.rmtree(MASKS))
    yield prepare("masks alone", "download", before=lambda: shutil.rmtree(SERIES))
    yield prepare("series empty", "dicom", before=lambda: [f.unlink() for f in SERIES.iterdir()])
    for setting, says in {
        "n_jobs=0": "n_jobs",
        "n_jobs=x": "n_jobs",
        "n_jobs=1.5": "n_jobs",
        "n_jobs=null": "n_jobs",
        "data.preparation.size=-5": "size",
        "data.preparation.size=0": "size",
        "data.preparation.size=x": "size",
        "data.preparation.size=1000000": "size",
        "data.preparation.spacing=[0,1,1]": "spacing",
        "data.preparation.spacing=[-1,1,1]": "spacing",
        "data.preparation.spacing=[nan,1,1]": "spacing",
        "data.preparation.spacing=[1,1]": "spacing",
        "data.preparation.spacing=1": "spacing",
        "data.preparation.spacing=[0.001,0.001,0.001]": "memory",
        "data.preparation.spacing_factor=[0,1,1]": "spacing_factor",
        "data.preparation.orientation=XYZ": "orientation",
        "data.preparation.orientation=LLL": "orientation",
        "data.preparation.orientation=5": "orientation",
        "data.preparation.clip_percentile=101": "clip_percentile",
        "data.preparation.clip_percentile=-1": "clip_percentile",
        "data.preparation.clip_percentile=nan": "clip_percentile",
        "data.preparation.clip_percentile=x": "clip_percentile",
        "data.preparation.window=[5,1]": "window",
        "data.preparation.window=[5]": "window",
        "data.preparation.window=[nan,1]": "window",
        "data.preparation.border=-3": "border",
        "data.preparation.border=100": "border",
        "data.preparation.mask_order=random": "mask_order",
        "data.preparation.unlabelled=eat": "unlabelled",
        "+data.preparation.nonsense=1": "nonsense",
        "data.preparation.label_ranges={1: [5]}": "label_ranges",
        "data.preparation.label_ranges={x: [5, 9]}": "label_ranges",
        "data.preparation.label_ranges={1: [9, 5]}": "label_ranges",
        "data.preparation.label_ranges={300: [1, 255]}": "label_ranges",
        "data.preparation.images=nothing": "{case}",
        "data.preparation.images=null": "images",
        "data.supervoxels.min_size=0": "min_size",
        "data.supervoxels.min_size=x": "min_size",
        "data.n_cases=0": "n_cases",
        "data.exclude=[7]": "exclude",
        "data.exclude=7": "exclude",
        "source=missing": "source",
        "source=file": "source",
        "root=file": "cannot be written|folder",
        "root=file/below": "cannot be written|folder",
        "root=/proc/none": "cannot be written",
        "data=nothing": "nothing",
        "data=phantom": "preparation",
    }.items():
        yield prepare("setting", says, setting)


def _mask_pipe() -> None:
    place = min(MASKS.iterdir())
    place.unlink()
    os.mkfifo(place)
