"""Every key of every command is declared, and refused before data is touched where it is wrong."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from gmrd.cli.declared import DECLARED, fitted_keys
from gmrd.cli.keys import choices_of
from gmrd.data.augmentation import Augmentation
from gmrd.data.build import kinds
from gmrd.data.prepare.settings import Preparation
from gmrd.data.supervoxel_files import Supervoxels
from gmrd.errors import InputError
from helpers.commands import RunHere, composed

SOURCE = Path(__file__).parents[2] / "src" / "gmrd"
COMMANDS = sorted(p.stem for p in (SOURCE.parents[1] / "conf").glob("*.yaml"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_declares_exactly_the_keys_that_it_has(command: str) -> None:
    assert set(DECLARED[command]()) == set(composed(command))


DATA_SETS = sorted(choices_of("data"))


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_data_set_declares_every_key_that_it_may_hold(name: str) -> None:
    data = composed("train", f"data={name}").data
    assert kinds().keys() <= data.keys()
    for part, record in {
        "preparation": Preparation, "supervoxels": Supervoxels, "augmentation": Augmentation,
    }.items():  # fmt: skip
        assert {field.name for field in fields(record)} <= data[part].keys(), part


def read_keys(file: Path) -> set[str]:
    """Every dotted key that a module reads of a configuration by the name of ``cfg``."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            at, first = _chain(node.func.value), node.args[0] if node.args else None
            if node.func.attr == "get" and at is not None and isinstance(first, ast.Constant):
                found.add(".".join([*at, str(first.value)]))
        if isinstance(node, ast.Attribute) and (chain := _chain(node)):
            found.add(".".join(chain))
    return {key.removesuffix(".get").removesuffix(".items") for key in found} - {"get", ""}


def _chain(node: ast.AST) -> list[str] | None:
    if isinstance(node, ast.Name):
        return [] if node.id in ("cfg", "self_cfg") else None
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and (node.value.id, node.attr) == ("self", "cfg"):
            return []
        before = _chain(node.value)
        return None if before is None else [*before, node.attr]
    return None


READERS = {
    **{f"cli/{name}.py": name for name in COMMANDS},
    **{f"training/{name}.py": "train" for name in ("conclusion", "remember", "rerun", "strategy")},
}


@pytest.mark.parametrize("file", READERS)
def test_every_key_that_is_read_exists(file: str) -> None:
    cfg = composed(READERS[file])
    read = read_keys(SOURCE / file)
    assert read or file in ("cli/dashboard.py",)
    missing = [key for key in sorted(read) if not _exists(cfg, key)]
    assert not missing


def _exists(cfg: Any, key: str) -> bool:
    for name in key.split("."):
        if not isinstance(cfg, DictConfig) or name not in cfg._content:
            return False
        node = cfg._get_node(name)
        cfg = node if isinstance(node, DictConfig) and not node._is_none() else None
    return True


GIVEN = {
    "train": ("data.root=nowhere",),
    "crossval": ("data.root=nowhere",),
    "evaluate": ("data.root=nowhere", "ckpt_path=nowhere.ckpt"),
    "project": ("folder=study",),
    "predict": ("support.image=a.nii", "support.label=b.nii", "query=c.nii", "out=out"),
    "app": (),
    "cache": (),
    "prepare": ("source=nowhere", "root=out"),
    "inspect": ("data.root=nowhere",),
    "supervoxels": ("data.root=nowhere",),
    "convert": ("source=nowhere.pth", "out=out.ckpt"),
    "export": ("ckpt_path=nowhere.ckpt", "out=out.ckpt"),
    "demo": ("out=out",),
    "dashboard": ("entity=me",),
}

WRONG = [
    ("train", "fold=x", "fold=x: expected a whole number, 0 or more"),
    ("train", "seed=-1", "seed=-1: expected a whole number from 0"),
    ("train", "seed=1.5", "seed=1.5: expected a whole number"),
    ("train", "setting=3", "setting=3: expected 1 or 2"),
    ("train", "evaluate=1", "evaluate=1: expected true or false"),
    ("train", "evaluation.weights=first", "evaluation.weights=first: expected last or best"),
    ("train", "evaluation.protocol=chunk", "expected chunks or all_slices"),
    ("train", "evaluation.n_chunks=0", "evaluation.n_chunks=0: expected a whole number, 1 or more"),
    ("train", "trainer.max_steps=many", "trainer.max_steps=many: expected a whole number"),
    ("train", "trainer.max_steps=1e3", "expected a whole number: write trainer.max_steps=1000"),
    ("train", "trainer.precision=bf15", "trainer.precision=bf15: expected one of"),
    ("train", "trainer.accumulate_grad_batches=0", "accumulate_grad_batches=0: expected a whole"),
    ("train", "trainer.log_every_n_steps=0", "trainer.log_every_n_steps=0: expected a whole"),
    ("train", "+trainer.max_step=3", "trainer.max_step is not a setting of Trainer: did you mean "),
    ("train", "model.optimizer.lr=nan", "model.optimizer.lr=nan: expected a number"),
    ("train", "model.scheduler.step_size=0.5", "step_size=0.5: expected a whole number"),
    ("train", "model.network.dropout=5.5", "dropout=5.5: expected a number from 0 to 1"),
    ("train", "model.network.backbone=resnet1", "backbone=resnet1: expected one of resnet18"),
    ("train", "model.loss.class_weights=[1]", "class_weights=[1]: expected two numbers"),
    ("train", "callbacks.pictures.every_n_steps=0", "every_n_steps=0: expected a whole number, 1"),
    ("train", "callbacks.best.save_top_k=x", "callbacks.best.save_top_k=x: expected a whole"),
    ("train", "logger.csv.save_dir=3", "logger.csv.save_dir=3: expected text or a path"),
    ("train", "data.batch_size=0", "data.batch_size=0: expected a whole number, 1 or more"),
    ("train", "data.n_shot=1.5", "data.n_shot=1.5: expected a whole number, 1 or more"),
    ("train", "data.support=first", "data.support=first: expected last or rotate or a whole"),
    ("train", "evaluation.device=gpu", "evaluation.device=gpu: expected auto, cpu, cuda or"),
    ("train", "trainer.val_check_interval=0", "val_check_interval=0: expected a number above 0"),
    ("train", "trainer.check_val_every_n_epoch=0", "check_val_every_n_epoch=0: expected a whole"),
    ("train", "data.augmentation.gamma=[2,1]", "expected two numbers, the lower one first"),
    (
        "train",
        "data.fold_order=published",
        "expected shared_last or sorted (formerly published and ordered)",
    ),
    ("train", "data.exclude=3", "expected a list, each entry text or a whole number"),
    ("train", "data.supervoxels.min_size=inf", "data.supervoxels.min_size=inf: expected a whole"),
    ("train", "data.preparation.orientation=up", "orientation=up: expected three axis codes"),
    ("train", "+data.n_shots=2", "data.n_shots is not a setting: did you mean data.n_shot?"),
    ("crossval", "folds=0", "folds=0: expected a list, each entry a whole number, 0 or more, such"),
    ("crossval", "seeds=[x]", "seeds[0]=x: expected a whole number from 0"),
    ("crossval", "devices=0", 'such as "devices=[0]"'),
    ("crossval", "n_jobs=0", "n_jobs=0: expected a whole number, 1 or more"),
    ("evaluate", "n_chunks=0", "n_chunks=0: expected a whole number, 1 or more"),
    ("evaluate", "allow=mylab", 'such as "allow=[mylab]"'),
    ("predict", "query=[a.nii,null]", "query[1]=null: expected a file or folder"),
    ("predict", "query=", "query=: expected a file or folder"),
    ("prepare", "root=", "root=: expected a file or folder"),
    ("inspect", "n_jobs=100000", "and at most 1024"),
    ("predict", "again=2", "again=2: expected true or false"),
    ("cache", "delete=all", "delete=all: expected true or false"),
    ("predict", "options.margin=nan", "options.margin=nan: expected a number, 0 or more"),
    ("predict", "options.batch_size=1.5", "options.batch_size=1.5: expected a whole number, 1"),
    (
        "predict",
        "format=dicom",
        "format=dicom: expected one of nifti, seg_nrrd, dicom_seg",
    ),
    ("predict", "names={x: liver}", "names, name=x: expected a whole number"),
    ("predict", "intensity={window: [5, 1]}", "expected the lowest value, then a higher one"),
    ("predict", "intensity={clip_percentile: 101}", "expected a number from 0 to 100"),
    ("predict", "geometry={orientation: LAS}", "geometry.spacing is missing"),
    ("app", "port=x", "port=x: expected a whole number from 1 to 65535"),
    ("app", "options.extent=some", "options.extent=some: expected aligned or all"),
    ("prepare", "n_jobs=0", "n_jobs=0: expected a whole number other than 0"),
    ("prepare", "data.n_cases=1.5", "data.n_cases=1.5: expected a whole number, 1 or more"),
    ("inspect", "n_jobs=two", "n_jobs=two: expected a whole number other than 0"),
    ("inspect", "data.min_area=-1", "data.min_area=-1: expected a number, 0 or more"),
    ("supervoxels", "scale=nan", "scale=nan: expected a number, 0 or more"),
    ("supervoxels", "workers.backend=ray", "workers.backend=ray: expected one of loky"),
    ("convert", "to=onnx", "to=onnx: expected gmrd or public"),
    ("export", "format=pt", "format=pt: expected one of checkpoint, torch, onnx"),
    ("demo", "n_cases=3", "n_cases=3: expected a whole number, 4 or more"),
    ("demo", "size=16", "size=16: expected a whole number, 32 or more"),
    ("demo", "size=1e3", "write size=1000"),
    ("dashboard", "organs=liver", 'such as "organs=[liver]"'),
]
WRONG += [(command, "+foo=1", "foo is not a setting: there are") for command in COMMANDS]


@pytest.mark.parametrize(("command", "override", "words"), WRONG)
def test_a_wrong_value_is_refused(command: str, override: str, words: str) -> None:
    cfg = composed(command, *GIVEN[command], override)
    with pytest.raises(InputError) as refused:
        fitted_keys(command, cfg)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("command", "overrides"),
    [
        ("demo", ("size=1e9",)),
        ("train", ("fold=x",)),
        ("train", ("seed=-1",)),
        ("train", ("trainer.max_steps=abc", "scheduler=one_cycle")),
    ],
)
def test_the_key_that_was_given_is_named_not_one_that_refers_to_it(
    command: str, overrides: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match=f"^{overrides[0].partition('=')[0]}="):
        fitted_keys(command, composed(command, *GIVEN[command], *overrides))


FIRST = {command: (override, words) for command, override, words in reversed(WRONG)}


@pytest.mark.parametrize("command", COMMANDS)
def test_that_is_before_anything_is_read(
    run_here: RunHere, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """None of the files that the commands are given exists: reading one would say so."""
    override, words = FIRST[command]
    assert run_here(command, *GIVEN[command], override) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert words in said
    assert "Traceback" not in said
    assert not any(Path(place).exists() for place in ("out/data", "out.ckpt", "out/summary.json"))


@pytest.mark.parametrize(
    ("command", "override", "meant"),
    [
        ("train", "modle=gmrd", "model"),
        ("train", "data.rot=x", "data.root"),
        ("train", "model.network.n_foregound=3", "model.network.n_foreground"),
        ("train", "expriment=chaost2_s1", "experiment"),
        ("crossval", "seedz=[0]", "seed"),
        ("evaluate", "baseline=true", "baselines"),
        ("predict", "option.margin=1", "options.margin"),
        ("predict", "suport.image=x", "support.image"),
        ("app", "prot=1", "port"),
        ("cache", "delet=true", "delete"),
        ("prepare", "sorce=x", "source"),
        ("inspect", "sheets=x", "sheet"),
        ("supervoxels", "min_sise=3", "min_size"),
        ("convert", "sourc=x", "source"),
        ("export", "formats=onnx", "format"),
        ("demo", "n_case=3", "n_cases"),
        ("dashboard", "organ=[liver]", "organs"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_nearest(
    run_here: RunHere,
    capsys: pytest.CaptureFixture[str],
    command: str,
    override: str,
    meant: str,
) -> None:
    assert run_here(command, *GIVEN[command], override) == 2
    assert f"did you mean {meant}?" in " ".join(capsys.readouterr().err.split())


def test_a_key_that_was_taken_out_is_missed(
    run_here: RunHere, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("train", "data.root=nowhere", "~objective") == 2
    assert "objective is missing: expected text" in capsys.readouterr().err
    assert run_here("train", "data.root=nowhere", "~logger") == 2
    assert "nowhere" in capsys.readouterr().err, "without loggers it goes on to the data"


@pytest.mark.parametrize(
    "name", ["chaost2_s1_small", "ablation/no_mamp", "chaost2_to_sabs", "published/chaost2_s1"]
)
def test_the_values_of_experiments_fit(name: str) -> None:
    cfg = composed("train", f"experiment={name}", "logger=all", "callbacks=ema")
    found = fitted_keys("train", cfg)
    assert found["data"]["setting"] == 1
    assert isinstance(found["data"]["supervoxels"], Supervoxels)
