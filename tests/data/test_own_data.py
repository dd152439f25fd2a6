"""The worked example of docs/own-data.md runs as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_module

from gmrd.cli.inspect import inspect
from gmrd.cli.prepare import prepare
from gmrd.data.build import plain, read_split
from gmrd.data.phantom import make_phantom_volume
from gmrd.io.nifti_writer import write_nifti
from helpers.scans import read

DOC = Path(__file__).parents[2] / "docs" / "own-data.md"


def test_worked_example(tmp_path: Path) -> None:
    (yaml,) = re.findall(r"```yaml\n(.*?)```", DOC.read_text(), re.DOTALL)
    configs = tmp_path / "my-configs"
    (configs / "data").mkdir(parents=True)
    (configs / "data" / "knees.yaml").write_text(yaml)
    affine = [[-4.0, 0, 0, 0], [0, 4.0, 0, 0], [0, 0, 7.7, 0], [0, 0, 0, 1]]
    for case in "abc":
        volume = make_phantom_volume(ord(case), size=64, n_slices=8)
        source = tmp_path / "download"
        write_nifti(source / "scans" / f"{case}.nii.gz", volume.image, np.array(affine))
        label = np.where(volume.label <= 2, volume.label, 0).astype(np.uint8)
        write_nifti(source / "truth" / f"{case}.nii.gz", label, np.array(affine))
    with initialize_config_module("gmrd.conf", version_base="1.3"):
        overrides = [f"hydra.searchpath=[file://{configs}]", "data=knees", f"root={tmp_path / 'k'}"]
        cfg = compose("prepare", [*overrides, f"data.cache_dir={tmp_path / 'cache'}"])
    split = read_split(plain(cfg.data))
    data = split.data
    assert prepare(data, tmp_path / "download") == 3
    assert [case.case_id for case in data.cases] == ["a", "b", "c"]
    assert data.cases[0].pseudo_label.is_file()
    query = next(iter(split.evaluation_cases())).query
    assert query.image.shape[1:] == (256, 256)
    changed = [f.what for f in inspect(data, None)[1] if "since it was prepared" in f.what]
    assert not changed
    image, affine = read(data.cases[1].image)
    write_nifti(data.cases[1].image, image + 1, affine)
    changed = [f.what for f in inspect(data, None)[1] if "since it was prepared" in f.what]
    assert changed == ["images/b.nii.gz was changed since it was prepared"]
    for file in (data.cases[1].image, data.cases[1].label):
        array, affine = read(file)
        write_nifti(file, array, affine @ np.diag([-1.0, 1.0, 1.0, 1.0]))
    odd = [f.case_id for f in inspect(data, None)[1] if "between their axes" in f.what]
    assert odd == ["b"], "volumes that preparation wrote are compared, too"
