"""Refused input: each message names the file or key, what was found, and the remedy."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gmrd.cli.declared import fitted_keys
from gmrd.cli.refusals import sentence
from gmrd.data.build import plain, read_description
from gmrd.data.supervoxel_files import Supervoxels, make_up_to_date
from gmrd.errors import InputError
from helpers.commands import RunHere, composed

Refusal = Callable[..., str]


@pytest.fixture
def root(phantom: Path, tmp_path: Path) -> Path:
    """A phantom of one's own to break."""
    return Path(shutil.copytree(phantom, tmp_path / "root"))


@pytest.fixture
def refusal(run_here: RunHere, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """What ``gmrd-train *overrides`` says when it refuses, on one line."""

    def said(*overrides: str) -> str:
        quiet = ("model=gmrd_small", "evaluate=false", "trainer.max_steps=1")
        assert run_here("train", *quiet, *overrides) != 0
        printed = capsys.readouterr().err
        assert "Traceback" not in printed
        return " ".join(printed.split())

    return said


def assert_says(message: str, *parts: str) -> None:
    # A long path may be broken across lines by the terminal's width.
    squeezed = message.replace(" ", "")
    missing = [part for part in parts if part.replace(" ", "") not in squeezed]
    assert not missing, f"{missing} not in: {message}"


def test_a_data_root_that_is_not_set(refusal) -> None:
    message = refusal("data=chaost2")
    assert_says(message, "data.root is not set", "chaos_MR_T2_normalized/image_{case}", "zenodo")


def test_a_data_root_that_does_not_exist(refusal, tmp_path) -> None:
    message = refusal("data=chaost2", f"data.root={tmp_path / 'nowhere'}")
    assert_says(message, "nowhere", "does not exist", "Set data.root", "gmrd-prepare")


def test_an_image_without_its_label(refusal, root) -> None:
    (root / "phantom_normalized" / "label_3.nii.gz").unlink()
    message = refusal("data=phantom", f"data.root={root}")
    assert_says(message, "no label for case 3", "label_3.nii.gz", "data.exclude=[3]")


def test_shapes_that_disagree(refusal, root) -> None:
    path = root / "phantom_normalized" / "label_5.nii.gz"
    label = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(label.dataobj)[:, :, 1:], label.affine), path)
    message = refusal("data=phantom", f"data.root={root}")
    assert_says(message, "label_5.nii.gz", "has shape", "but its image has")


def test_an_image_that_is_no_image(refusal, root) -> None:
    (root / "phantom_normalized" / "image_5.nii.gz").write_bytes(b"not an image")
    message = refusal("data=phantom", f"data.root={root}")
    assert_says(message, "image_5.nii.gz", "cannot be read")


def test_an_image_with_nan(refusal, root) -> None:
    path = root / "phantom_normalized" / "image_5.nii.gz"
    image = nib.load(path)
    voxels = np.array(image.dataobj)
    voxels[3, 4, 5] = np.nan
    nib.save(nib.Nifti1Image(voxels, image.affine), path)
    message = refusal("data=phantom", f"data.root={root}")
    assert_says(message, "image_5.nii.gz", "NaN")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("fold=5", ("fold=5 is out of range", "0 to 4")),
        ("fold=x", ("fold=x: expected a whole number, 0 or more",)),
        ("seed=-1", ("seed=-1: expected a whole number from 0",)),
        ("setting=3", ("setting=3: expected 1 or 2",)),
        ("trainer.precision=bf15", ("trainer.precision=bf15: expected one of",)),
        (
            "model.network.dropout=5.5",
            ("model.network.dropout=5.5: expected a number from 0 to 1",),
        ),
        ("model.optimizer.lr=-1", ("AdamW(lr=-1", "Invalid learning rate")),
        ("data.exclude=[99]", ("data.exclude", "99")),
        ("ckpt_path=missing.ckpt", ("ckpt_path=missing.ckpt",)),
        ("data.rot=x", ("data.rot is not a setting", "did you mean data.root?")),
        ("model.network.n_foregound=3", ("n_foregound",)),
        ("modle=gmrd", ("modle",)),
    ],
)
def test_values_and_keys(refusal, phantom, override, parts) -> None:
    message = refusal("data=phantom", f"data.root={phantom}", override)
    assert_says(message, *parts)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EROFS, "choose a writable folder"),
        (errno.ENOSPC, "free some space"),
        (errno.ENOTDIR, "a file is in the way of a folder"),
        (errno.EACCES, ""),
    ],
)
def test_what_the_system_refuses_comes_with_a_remedy_where_it_is_known(
    code: int, remedy: str
) -> None:
    said = sentence(OSError(code, os.strerror(code), "/data/out"))
    assert said is not None
    assert said.startswith(f"/data/out: {os.strerror(code)}")
    assert said.partition(";")[2].strip().startswith(remedy)
    assert bool(remedy) == (";" in said)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a mount that is read-only, which root cannot write to either."""
    folder = tmp_path / "mounted"
    (folder / "runs").mkdir(parents=True)
    for how in (("--bind", str(folder), str(folder)), ("-o", "remount,ro,bind", str(folder))):
        if subprocess.run(["mount", *how], capture_output=True).returncode:
            subprocess.run(["umount", str(folder)], capture_output=True)
            pytest.skip("mounting needs Linux and root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


READ_ONLY = "cannot be written (Read-only file system): choose a writable folder"


def test_a_run_folder_that_exists_on_a_read_only_mount(
    run_here: RunHere, capsys: pytest.CaptureFixture[str], read_only: Path
) -> None:
    """Hydra opens its log there before anything else, and says that a handler is not configured."""
    for given in ((f"collect={read_only}/runs",), ("data.root=x", f"out={read_only}/runs")):
        assert run_here("crossval", *given) == 2
        assert f"error: {read_only}/runs/console.log {READ_ONLY}\n" in capsys.readouterr().err
    assert run_here("crossval", "data.root=x", f"out={read_only}/new") == 2
    said = f"error: {read_only}/new: Read-only file system; choose a writable folder\n"
    assert said in capsys.readouterr().err


def test_preparation_tries_its_folder_before_the_work(
    run_here: RunHere, capsys: pytest.CaptureFixture[str], read_only: Path
) -> None:
    (read_only.parent / "download/MR/1/T2SPIR/DICOM_anon").mkdir(parents=True)
    (read_only.parent / "download/MR/1/T2SPIR/Ground").mkdir()
    for root in ("", "/below"):
        assert run_here("prepare", "source=download", f"root={read_only}{root}") == 2
        printed = capsys.readouterr()
        assert f"error: {read_only}{root} {READ_ONLY}\n" in printed.err
        assert "Preparing" not in printed.out


def test_supervoxels_of_a_read_only_root_beside_a_read_only_cache(
    root: Path, read_only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    data = composed("train", "data=phantom", f"data.root={root}", f"data.cache_dir={read_only}")
    cases = read_description(plain(data.data)).cases
    with pytest.raises(InputError) as refused:
        make_up_to_date(cases[:1], Supervoxels())
    assert READ_ONLY in str(refused.value)
    assert "data.cache_dir" in str(refused.value)
    assert "data.exclude" not in str(refused.value), "the case is not at fault"


def test_a_working_directory_that_is_gone(
    run_here: RunHere, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for command in (("cache",), ("export", "ckpt_path=/a.ckpt", "out=/b.ckpt")):
        assert run_here(*command) == 2
        assert "error: the working directory no longer exists: change" in capsys.readouterr().err


def test_what_stands_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, what in {
        "taken": "is not a folder: a folder is expected there",
        "pipe": "is not a folder: a folder is expected there",
        "": "exists already",
    }.items():
        with pytest.raises(FileExistsError) as found:
            (tmp_path / name).mkdir()
        assert sentence(found.value) == f"{tmp_path / name} {what}"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("${x}", "x is not a setting"),
        ("${oc.env:NO_SUCH_VARIABLE}", "the environment variable NO_SUCH_VARIABLE is not set"),
        ("${x:3}", "there is no function x"),
        ("${options.margin}", "it leads back to itself"),
        ("'${x'", "write ${key} for another setting, or ${oc.env:VARIABLE}"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named_with_its_key(
    run_here: RunHere, capsys: pytest.CaptureFixture[str], value: str, reason: str
) -> None:
    assert run_here("app", f"options.margin={value}") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "options.margin: the reference ${...} in its value cannot be resolved:" in said
    assert said.endswith(reason)


def test_the_option_of_a_multirun_may_stand_between_settings(
    run_here: RunHere, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("app", "max_megabytes=-1", "-m", "port=8000,8001") == 2
    assert "error: max_megabytes=-1: expected a number above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("options=1", "options=1 does not exist: choose one of default"),
        ("options=[1,2]", "options=[1,2] does not exist"),
        ("options.margin=a,b", "options.margin=a,b holds a comma: write options.margin=[a,b] for"),
        ("options={a: 1}", "options={a: 1} does not exist"),
        ("allow={a: 1}", "allow={a: 1}: a list cannot replace a mapping"),
        (
            "-x",
            "unrecognized arguments: -x: settings are written key=value, after all options",
        ),
        ("--cfg=x", "argument --cfg/-c: invalid choice: 'x'"),
        ("--resolve", "--resolve needs --cfg beside it"),
        ("--config-name=nope", "--config-name=nope: no file of that name"),
        ("--config-path=nope", "--config-path: there is no such folder"),
        ("--config-dir=nope", "--config-dir: "),
        ("--shell-completion", "--shell-completion needs install=bash"),
        ("++options=1", "options=1 does not exist: choose one of default"),
        ("++options=default", "options takes one of its choices: write options=default without"),
        ("options=[default,b]", "options=b does not exist: choose one of default"),
        ("options=/etc/passwd", "options=/etc/passwd does not exist: choose one of default"),
        ("options=${x}", "${x} cannot be resolved where a section's choice is named"),
        ("~options=1", "options=1 does not exist"),
        ("~options=other", "~options=other: that was not chosen, so it cannot be left out"),
        ("~port=1", "port is 7860, not 1: write ~port to leave it out whatever its value"),
        ("~nope", "there is no nope to leave out"),
        ("~", "~ has no name behind it"),
        ("+port=1", "port exists already: write port=... without a +"),
        ("port=range(3)", "port=range(3) stands for several values: add -m"),
        ("++port@x=1", "++port@x=1: port is not a section with choices"),
        ("allow.x=1", "allow.x=1 cannot be understood: write key=value"),
        ("+allow.0=a", "+allow.0=a: the setting is a list"),
        ("=5", "=5 has no name before its =: write key=value"),
        ("+@a=b", "+@a=b cannot be understood"),
        ("_recursive_=x", "_recursive_ is not a setting"),
        ("+_recursive_=x", "_recursive_ is not a setting"),
        ("hydra=1", "a section takes the name of one of its choices, not a number or null"),
        ("hydra/job_logging=x", "hydra/job_logging=x does not exist"),
        ("hydra.mode=X", "hydra.mode=X: not possible for this setting, which is Hydra's own"),
        ("hydra.run.dir=null", "hydra.run.dir=null: not possible for this setting"),
        ("~hydra.run", "~hydra.run: not possible for this setting"),
        ("hydra.verbose=[1]", "hydra.verbose=[1] cannot be understood"),
        ("hydra.searchpath=x", "hydra.searchpath=x: expected a list"),
        (
            "+hydra.callbacks.a._target_=nope.X",
            "hydra.callbacks.a._target_=nope.X: there is no such class",
        ),
    ],
)
def test_what_hydra_itself_refuses(
    run_here: RunHere, capsys: pytest.CaptureFixture[str], override: str, words: str
) -> None:
    assert run_here("app", override) == 2
    assert f"error: {words}" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("callbacks.best={foo: 1}", "callbacks.best has no such entries: to add some, write +call"),
        ("callbacks.mine={_target_: a.B}", "; to add it, write +callbacks.mine=..."),
    ],
)
def test_what_cannot_be_merged(refusal: Refusal, override: str, words: str) -> None:
    assert_says(refusal("data=phantom", "data.root=nowhere", override), words)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("~data", "data.root cannot be set, because ~data leaves out what it belongs to"),
        ("~model.network", "model lacks 'network'"),
        ("++model=gmrd", "write model=gmrd without a +"),
        ("experiment=published/", "experiment/published= does not exist"),
    ],
)
def test_sections_of_a_training(refusal: Refusal, root: Path, override: str, words: str) -> None:
    message = refusal("data=phantom", f"data.root={root}", f"hydra.run.dir={root}/run", override)
    assert_says(message, words)


def test_an_error_while_explaining_shows_no_traceback(
    run_here: RunHere, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("gmrd.cli.misspelt.explained", fail)
    assert run_here("app", "nope=1") == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "a mistake of ours" in said


def test_several_models_are_no_model(run_here: RunHere, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("train", "data.root=nowhere", "model=[gmrd,gmrd_small]") == 2
    assert "model takes one choice, after which the run is named" in capsys.readouterr().err


@pytest.mark.parametrize(
    "override",
    ["model.rates={network.encoder: 0.1}", "model.metrics={a: {_target_: torchmetrics.MeanMetric}}",
     "data.label_values={200: 1}", "data.supervoxels.scale=2.0"],
)  # fmt: skip
def test_a_mapping_in_the_configuration_can_be_set(override: str) -> None:
    fitted_keys("train", composed("train", "data=phantom", "data.root=nowhere", override))


@pytest.mark.parametrize("name", ["train", "inspect", "supervoxels"])
def test_a_file_that_others_extend_is_no_choice(
    run_here: RunHere, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run_here(name, "data=episodes", "data.root=x") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "data=episodes holds only what the others share: choose one of chaos_ct" in said


def test_a_name_that_is_a_number_is_set_with_its_mapping(
    run_here: RunHere, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("inspect", "data=phantom", "data.root=x", "data.classes.2=spleen") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert 'set data.classes, as in "data.classes={2: ...}"' in said


def test_of_a_long_value_the_ends_are_quoted() -> None:
    said = sentence(InputError(f"n_steps={'9' * 5000} is too large: set at most 100"))
    assert said is not None
    assert said.startswith("n_steps=999")
    assert said.endswith("999 is too large: set at most 100")
    assert "[…]" in said
    assert len(said) < 1600
    assert sentence(InputError("short")) == "short"
