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

from gmrd.checkpoint.file import read_checkpoint
from gmrd.errors import InputError
from gmrd.io.readers import read_scan
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
    }
