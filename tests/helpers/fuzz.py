"""Readers of strangers' files, each with small whole files to change: the targets of fuzzing."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from PIL import Image

from gmrd.checkpoint.file import read_checkpoint
from gmrd.data.prepare.sources import load_mask
from gmrd.errors import InputError
from gmrd.evaluation.crossvalidation import find_runs
from gmrd.evaluation.metrics import CaseScore
from gmrd.evaluation.scores import ScoredCase, read_scores, write_scores
from gmrd.io.readers import read_scan
from gmrd.nn.research_format import read_public
from gmrd.predict.batch import read_records
from gmrd.predict.outputs import write_summary
from gmrd.predict.project_file import ProjectFile
from helpers.odd_files import mha, nrrd, zipped
from helpers.scans import affine
from helpers.series import write_series


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        seeds: whole files.
        read: reads a file's bytes, and checks what was read.
    """

    seeds: tuple[bytes, ...]
    read: Callable[[bytes], None]

    def __call__(self, data: bytes) -> bool:
        """Whether the file was read; False if it was refused. All else is a finding."""
        try:
            self.read(data)
        except InputError:
            return False
        return True


IMAGE = np.arange(60).reshape(3, 4, 5)


def _file(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".nii") as file:
        file.write(data)
        file.flush()
        _check(Path(file.name))


def _check(path: Path) -> None:
    """A scan is finite and placed; labels, too, are read or refused."""
    scan = read_scan(path)
    assert scan.image.ndim == 3
    assert scan.image.dtype == np.float32
    assert np.isfinite(scan.image).all()
    assert np.isfinite(scan.affine).all()
    assert abs(np.linalg.det(scan.affine[:3, :3])) > 0
    assert all(np.isfinite(size) and size > 0 for size in scan.spacing)
    try:
        labels = read_scan(path, dtype=np.int32)
    except InputError:
        return
    assert labels.image.min(initial=0) >= 0


def _series(data: bytes) -> None:
    """One slice of three is the one that is given."""
    with tempfile.TemporaryDirectory() as folder:
        for name, slice_ in _slices().items():
            Path(folder, name).write_bytes(data if name == "00.dcm" else slice_)
        _check(Path(folder))


def _checkpoint(data: bytes) -> None:
    """What is read is what was written."""
    with tempfile.NamedTemporaryFile(suffix=".ckpt") as file:
        file.write(data)
        file.flush()
        state = read_checkpoint(Path(file.name))["state_dict"]
    assert all(torch.equal(state[name], value) for name, value in WEIGHTS.items() if name in state)


WEIGHTS = {"first": torch.arange(12.0), "second": torch.ones(2, 3)}


def _nifti() -> Iterator[bytes]:
    for container in (nib.Nifti1Image, nib.Nifti2Image):
        for dtype in (np.int16, np.float32):
            image = container(IMAGE.transpose(2, 1, 0).astype(dtype), affine())
            image.set_sform(affine(), code=1)
            yield image.to_bytes()


def _checkpoints() -> Iterator[bytes]:
    with tempfile.NamedTemporaryFile() as file:
        torch.save({"hyper_parameters": {"network": {}}, "state_dict": WEIGHTS}, file.name)
        yield Path(file.name).read_bytes()


@cache
def _slices() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = write_series(Path(folder, "series"), IMAGE, affine())
        return {file.name: file.read_bytes() for file in path.iterdir()}


def _archive(method: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return zipped({"in/a.nii": next(_nifti())}, method)(Path(folder)).read_bytes()


def _named(name: str, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    """A reader of a file of that name in a folder of its own."""

    def with_file(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, name).write_bytes(data)
            read(Path(folder, name))

    return with_file


def _mask(path: Path) -> None:
    mask = load_mask(path)
    assert mask.ndim == 2
    assert 0 <= mask.min(initial=0) <= mask.max(initial=0) <= 65535


CASE = ScoredCase("GMRD", "liver", "1", ("2",), CaseScore(0.9, 0.8, 0.9, 0.9, 1.0, 2.0))


def _run(data: bytes) -> None:
    """The summary of a finished training, whose scores are whole."""
    with tempfile.TemporaryDirectory() as folder:
        write_scores([CASE], Path(folder), about={}, decided_by={})
        Path(folder, "summary.json").write_bytes(data)
        find_runs(Path(folder))


def _records() -> dict[str, Target]:
    """Of what gmrd and others wrote beside the scans: masks, public weights, summaries."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, mode in (("grey", "L"), ("bit", "1"), ("colour", "RGB")):
            Image.fromarray(np.eye(5, dtype=np.uint8) * 63).convert(mode).save(
                folder / f"{kind}.png"
            )
        torch.save({f"module.{name}": value for name, value in WEIGHTS.items()}, folder / "a.pth")
        about = {"seed": 0, "fold": 1, "data": "a"}
        write_scores([CASE, CASE], folder, about=about, decided_by={})
        scan = {"source": "/a.nii", "name": "a", "files": {"labels": "a_seg.nii"}, "key": "1"}
        write_summary(folder / "batch.json", {}, [scan])
        ProjectFile(
            folder, (folder / "a",), ((folder / "b", folder / "c"),), {"page": False}
        ).write()
        read = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {
        "mask": Target(
            tuple(read[f"{kind}.png"] for kind in ("grey", "bit", "colour")), _named("a.png", _mask)
        ),
        "weights": Target((read["a.pth"],), _named("a.pth", read_public)),
        "scores": Target((read["scores.csv"],), _named("scores.csv", read_scores)),
        "run": Target((read["summary.json"],), _run),
        "batch": Target(
            (read["batch.json"],), _named("summary.json", lambda path: read_records(path.parent))
        ),
        "project": Target(
            (read["project.yaml"],),
            _named("project.yaml", lambda path: ProjectFile.read(path.parent).checked_settings()),
        ),
    }


def targets() -> dict[str, Target]:
    """By name."""
    body = IMAGE.astype("<i2").tobytes()
    sizes: dict[str, str | None] = {"sizes": "5 4 3"}
    shape: dict[str, str | None] = {"DimSize": "5 4 3"}
    return {
        "nifti": Target(tuple(_nifti()), _file),
        "nifti_in_gzip": Target(tuple(_nifti()), lambda data: _file(gzip.compress(data, 1))),
        "gzip": Target(tuple(map(gzip.compress, _nifti())), _file),
        "nrrd": Target(
            (
                nrrd(sizes, body),
                nrrd(sizes | {"encoding": "gzip"}, gzip.compress(body)),
                nrrd(sizes | {"space": None, "space directions": None, "spacings": "1 2 3"}, body),
            ),
            _file,
        ),
        "mha": Target(
            (mha(shape, body), mha(shape | {"CompressedData": "True"}, zlib.compress(body))), _file
        ),
        "zip": Target(tuple(_archive(method) for method in (0, 8, 12, 14)), _file),
        "dicom": Target((_slices()["00.dcm"],), _series),
        "checkpoint": Target(tuple(_checkpoints()), _checkpoint),
        **_records(),
    }
