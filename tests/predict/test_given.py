"""Arrays and nibabel's images say what the file says; what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import gmrd
from gmrd.errors import InputError
from gmrd.io.readers import read_scan
from gmrd.predict.given import as_label, as_scan
from helpers.scans import affine, ball, write


def test_an_image_of_nibabel_is_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.nii.gz", ball(1)[0], affine())
    scan, held = read_scan(path), as_scan(nib.load(path))
    assert (held.name, held.spacing) == ("scan", scan.spacing)
    assert (held.image == scan.image).all()
    assert (held.affine == scan.affine).all()
    label = nib.Nifti1Image(ball(1)[1].transpose(2, 1, 0), affine())
    assert (as_label(label, held) == ball(1)[1]).all()
    stretched = nib.Nifti1Image(ball(1)[1].transpose(2, 1, 0), affine((5, 2, 9)))
    with pytest.raises(InputError, match="the label map of scan lies up to"):
        as_label(stretched, held)
    in_memory = as_scan(nib.Nifti1Image(ball(1)[0].transpose(2, 1, 0), affine()))
    in_memory.save(tmp_path / "copy.nii.gz", ball(1)[1])
    assert (nib.load(tmp_path / "copy.nii.gz").affine == affine()).all()


def test_an_array_lies_where_it_is_said_to() -> None:
    array = ball(1)[0]
    sized = as_scan((array, (5.0, 2.0, 1.0)))
    assert sized.spacing == (5, 2, 1)
    assert nib.aff2axcodes(sized.affine) == ("L", "P", "S")
    placed = as_scan((array, affine()))
    assert (placed.affine == affine()).all()
    assert (placed.image == array).all()
    assert (as_label(ball(1)[1] > 0, placed) == ball(1)[1]).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((np.zeros((3, 4)), (1, 1, 1)), r"shape \(3, 4\): expected three dimensions"),
        ((np.zeros((3, 4, 5)), (1, 1)), "give three voxel sizes"),
        ((np.zeros((3, 4, 5)), (1, 0, 1)), "sizes must be above 0"),
        ((np.zeros((3, 4, 5)), np.zeros((4, 4))), "singular or not finite"),
        ((np.full((3, 4, 5), np.nan), (1, 1, 1)), "NaN or infinite"),
    ],
)
def test_what_is_no_scan_is_refused(given: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        as_scan(given)


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan, np.inf, 1e12])
def test_an_array_of_what_are_no_labels_is_refused(value: float) -> None:
    scan = as_scan((ball(1)[0], affine()))
    label = ball(1)[1].astype(np.float64)
    label[3, 4, 5] = value
    with pytest.raises(InputError, match=r"the label map of scan holds .*whole numbers"):
        as_label(label, scan)


def test_segment_takes_arrays_and_images(support: tuple[Path, Path]) -> None:
    query = ball(2)[0]
    images = (nib.load(support[0]), nib.load(support[1]))
    found = gmrd.segment([images], (query, affine()))
    from_files = gmrd.segment([support], gmrd.Scan("query", query, affine()))
    assert (found.labels == from_files.labels).all()
    assert found.labels.any()
    with pytest.raises(gmrd.InputError, match="the label has shape"):
        gmrd.segment([((query, affine()), np.zeros((2, 2, 2)))], (query, affine()))
