"""A pipe in a data folder is refused: waiting for it would never end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gmrd.data.supervoxel_files import make_supervoxels
from gmrd.errors import InputError
from helpers.commands import RunHere


def test_supervoxels_of_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "image.nii.gz")
    with pytest.raises(InputError, match=r"image\.nii\.gz is not a regular file"):
        make_supervoxels("1", tmp_path / "image.nii.gz", tmp_path / "out.nii.gz", {"min_size": 9})


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["image_3.nii.gz", "label_3.nii.gz", "image_99.nii.gz"])
def test_inspection_goes_on(
    run_here: RunHere, phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    root = Path(shutil.copytree(phantom, tmp_path / "root"))
    pipe = root / "phantom_normalized" / name
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    assert run_here("inspect", "data=phantom", f"data.root={root}", "sheet=null", "n_jobs=1") == 1
    assert "not a regular file" in " ".join(capsys.readouterr().out.split())
