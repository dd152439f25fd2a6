"""Every command that the documentation shows is run, in the order of its page.

A page's commands run in a folder of its own that holds what a newcomer is told to have: a small
phantom in the place of DATA, a download, scans, checkpoints. Settings are added that make the
work tiny. What cannot run here is listed with the reason, and at least its settings compose.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra

from gmrd.cli.arguments import with_quoted_paths
from gmrd.data.phantom import make_phantom
from gmrd.nn import GMRD
from gmrd.nn.research_format import to_public
from helpers.commands import TINY as TINY_TRAINING
from helpers.commands import RunHere

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {path.stem for path in (ROOT / "conf").glob("*.yaml")}

NOT_RUN = {
    "make test": "this test is part of it",
    ". .venv/bin/activate": "the tests have an environment already",
    "torchrun": "several machines with GPUs; tests/cli/test_ddp.py runs two processes",
    "srun": "a SLURM cluster; tests/cli/test_train.py sends its signals",
    "gmrd-app": "serves until interrupted; tests/predict/test_app.py runs it in a browser",
}
"""How a command begins that is not run here, and why."""

INSTEAD = {"make demo": "gmrd-demo out=runs/demo"}  # without installing gigabytes first

OTHERWISE = {
    "hydra/launcher=submitit_slurm": "",  # a SLURM cluster
    "hydra.launcher.gpus_per_node=1": "",
    "hydra.launcher.timeout_min=720": "",
    "fold=0,1,2,3,4": "fold=0",  # five trainings show no more than one
    "trainer.max_steps=1000": "trainer.max_steps=2",  # minutes
    "trainer.precision=bf16-mixed": "",  # a step of a CPU takes seconds; test_train.py has one
    "options.adapt=300": "options.adapt=2",  # as many steps show no more
}
"""Arguments that are left out or replaced."""

SMALL = {"size": 64, "n_slices": 8}
"""Phantoms that are segmented, and the demo's: matching takes half a second for each slice."""

DATA = ("data.supervoxels.min_size=100",)
NOT_HERE = ("data=phantom", "data.n_folds=3", "trainer.max_steps=6")
TRAINING = (
    *(o for o in TINY_TRAINING if o not in NOT_HERE),
    "trainer.max_steps=2",
    "model.network.pretrained=none",  # the experiments' weights are a download
    "data.support=last",  # a fold of six cases in five has no third case
    "++evaluation.baselines=false",
)
DEMO = (o for o in TRAINING if not o.startswith(("model=", "scheduler=", "trainer=")))
PREPARATION = ("data.preparation.size=64", "data.preparation.spacing=[5,5,7.7]")
TINY = {
    "gmrd-train": TRAINING,
    "gmrd-crossval": (*TRAINING, "folds=[0]"),
    "gmrd-evaluate": (*DATA, "baselines=false"),
    "gmrd-supervoxels": (*DATA, "workers.n_jobs=1"),
    "gmrd-inspect": (*DATA, "n_jobs=1"),
    "gmrd-prepare": (*DATA, *PREPARATION, "n_jobs=1"),
    "gmrd-convert": ("model.network.image_size=32",),
    "gmrd-demo": (*DEMO, "n_cases=6", "size=64"),
}
"""Settings that make each command's work small; what the page itself sets is not overruled."""


def shown(page: Path) -> list[str]:
    """Every line of the page's shell blocks; a command over several lines is one."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    text = re.sub(r"\\\n\s*", " ", "".join(blocks))
    lines = (" ".join(shlex.split(line, comments=True)) for line in text.splitlines())
    return [line for line in lines if line]


def effective(line: str) -> str:
    """What is run for a line."""
    words = INSTEAD.get(line, line).split(" ")
    return " ".join(filter(None, (OTHERWISE.get(word, word) for word in words)))


def is_run(line: str) -> bool:
    return not line.startswith(tuple(NOT_RUN))


REFERENCE = ("commands.md", "experiment-files.md")
"""Written from `conf/`; its examples compose, and those of other pages run."""

WITH_COMMANDS = [p for p in PAGES if p.name not in REFERENCE and any(map(is_run, shown(p)))]


@pytest.fixture(scope="module")
def belongings(
    phantom: Path,
    checkpoint: Path,
    public_network: Callable[..., GMRD],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """What the pages speak of, by the name that they give it."""
    folder = tmp_path_factory.mktemp("belongings")
    scans = phantom / "phantom_normalized"
    small = make_phantom(folder / "small", n_cases=3, **SMALL)
    things = {
        "DATA/chaos_MR_T2_normalized": scans,
        "FOLDER": scans,
        "a.nii.gz": small / "image_1.nii.gz",
        "a_seg.nii.gz": small / "label_1.nii.gz",
        "b.nii.gz": small / "image_2.nii.gz",
        "b_seg.nii.gz": small / "label_2.nii.gz",
        "scans/c.nii.gz": small / "image_3.nii.gz",
        "CHAOS": _chaos(folder / "CHAOS", scans),
        "download": _knees(folder / "download", scans),
        "my-configs/data/knees.yaml": _configuration(folder / "knees.yaml"),
        "public.pth": _public(folder / "public.pth", public_network()),
    }
    return things | dict.fromkeys(("last.ckpt", "gmrd.ckpt"), checkpoint)


def _chaos(source: Path, scans: Path) -> Path:
    """The phantom as CHAOS is downloaded."""
    pytest.importorskip("pydicom", reason="DICOM: install gmrd[dicom]")
    from helpers.raw_data import write_chaost2

    for case in range(1, 7):
        image, label = (
            np.asarray(nib.load(scans / f"{kind}_{case}.nii.gz").dataobj).transpose(2, 1, 0)
            for kind in ("image", "label")
        )
        write_chaost2(source, str(case), image.astype(np.uint16), label, (7.7, 5.0, 5.0))
    return source


def _knees(source: Path, scans: Path) -> Path:
    for case in range(1, 7):
        for kind, folder in (("image", "scans"), ("label", "truth")):
            target = source / folder / f"{case}.nii.gz"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(scans / f"{kind}_{case}.nii.gz", target)
    return source


def _configuration(path: Path) -> Path:
    """The example that the page itself shows."""
    text = (ROOT / "docs" / "own-data.md").read_text()
    (example,) = re.findall(r"```yaml\n(# knees\.yaml\n.*?)```", text, re.DOTALL)
    path.write_text(example)
    return path


def _public(path: Path, network: GMRD) -> Path:
    torch.save(to_public(network), path)
    return path


@pytest.fixture(scope="module")
def done() -> set[str]:
    """What was run for an earlier page and leaves nothing that another command of a page needs."""
    return set()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's folder, once a page has run it."""
    return tmp_path_factory.mktemp("demo") / "demo"


@pytest.fixture
def newcomer(belongings: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the belongings, to stand in."""
    for name, source in belongings.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("GMRD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gmrd.data.phantom.make_phantom", partial(make_phantom, **SMALL))
    return tmp_path


def made_tiny(line: str) -> list[str]:
    """A command's words, with what makes its work small."""
    name, *given = shlex.split(line)
    keys = {argument.split("=")[0] for argument in given}
    tiny = [o for o in TINY.get(name, ()) if o.split("=")[0].lstrip("+~") not in keys]
    return [name.removeprefix("gmrd-"), *given, *tiny]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_a_page_runs_from_top_to_bottom(
    page: Path, newcomer: Path, done: set[str], demo: Path, run_here: RunHere
) -> None:
    for line in dict.fromkeys(effective(line) for line in shown(page) if is_run(line)):
        if line in done:
            continue
        if line.startswith("gmrd-demo") and demo.exists():
            shutil.copytree(demo, "runs/demo")
            continue
        if line.startswith("gmrd-prepare"):
            shutil.rmtree("DATA")  # this makes it
        if line.startswith(("gmrd-train", "gmrd-crossval", "gmrd-predict support")):
            done.add(line)
        assert run_here(*made_tiny(line)) == 0, f"{page.name}: {line}"
        if line.startswith("gmrd-demo"):
            assert line == "gmrd-demo out=runs/demo", "pages share what it makes"
            shutil.copytree("runs/demo", demo)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_not_run_composes(page: Path) -> None:
    """So does every command as it stands, before anything is left out."""
    for line in dict.fromkeys(shown(page)):
        if line.startswith(". "):
            continue
        if line.startswith("make "):
            assert f"\n{line.split()[1]}:" in (ROOT / "Makefile").read_text()
            continue
        program = re.search(r"gmrd(?:-|\.cli\.)(\w+)", line)
        assert program, f"{page.name}: what is this? {line}"
        assert program[1] in COMMANDS, f"{page.name}: there is no gmrd-{program[1]}"
        words = shlex.split(line[program.end() :])
        overrides = [word for word in with_quoted_paths(words) if "=" in word]
        if "-m" in words:
            overrides = [re.sub(r"(=[^\[{,]*),.*", r"\1", override) for override in overrides]
        if "--config-dir" in words:
            continue  # composed where it runs
        GlobalHydra.instance().clear()
        with initialize_config_module("gmrd.conf", version_base="1.3"):
            compose(program[1], overrides=overrides)


def test_every_reason_and_replacement_is_needed() -> None:
    lines = [line for page in PAGES for line in shown(page)]
    assert all(any(line.startswith(start) for line in lines) for start in NOT_RUN)
    assert {word for line in lines for word in line.split()} >= OTHERWISE.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_block_says_what_it_is(page: Path) -> None:
    """A shell block without `sh` would escape these tests."""
    fences = re.findall(r"^ *```(\w*)$", page.read_text(), re.MULTILINE)
    assert set(fences[::2]) <= {"sh", "python", "yaml", "text", "json"}
    assert set(fences[1::2]) <= {""}


@pytest.mark.parametrize(
    ("page", "made"), [("predict.md", "b_seg.nii.gz"), ("loop.md", "loop/annotations/c.nii.gz")]
)
def test_the_python_example_runs(page: str, made: str, newcomer: Path) -> None:
    (newcomer / "b_seg.nii.gz").unlink()
    text = (ROOT / "docs" / page).read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(example, page, "exec"), {})
    assert (newcomer / made).is_file()


def test_every_extra_exists() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    (extras,) = re.findall(r"\[project.optional-dependencies\]\n(.*?)\n\[", project, re.DOTALL)
    files = (*PAGES, *(ROOT / "src").rglob("*.py"), *(ROOT / "conf").rglob("*.yaml"))
    groups = {g for file in files for g in re.findall(r"gmrd\[([\w,-]+)\]", file.read_text())}
    assert groups
    for name in ",".join(groups).split(","):
        assert re.search(rf"^{name} = ", extras, re.MULTILINE), name
