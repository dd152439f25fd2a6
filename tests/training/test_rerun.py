"""A run's own ``config.yaml`` run again leaves that run as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from gmrd.errors import InputError
from gmrd.training.rerun import move_into
from helpers.commands import RunHere, Train

QUIET = ("evaluate=false", "~callbacks.pictures", "trainer.limit_val_batches=0")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def saved(train: Train, tmp_path: Path) -> Path:
    """The folder of a finished run."""
    train(tmp_path / "saved", *QUIET, "trainer.max_steps=1")
    return tmp_path / "saved"


def again(saved: Path, *overrides: str) -> tuple[str, ...]:
    return (f"--config-path={saved}", "--config-name=config", "hydra.run.dir=new", *overrides)


def test_a_saved_configuration_writes_into_the_new_folder_alone(
    run_here: RunHere, saved: Path, tmp_path: Path
) -> None:
    before = contents(saved)
    assert run_here("train", *again(saved)) == 0
    assert contents(saved) == before
    new = tmp_path / "new"
    assert (new / "checkpoints/last.ckpt").is_file()
    assert (new / "csv/metrics.csv").is_file()
    config = OmegaConf.load(new / "config.yaml")
    assert config.output_dir == str(new)
    assert str(saved) not in (new / "config.yaml").read_text()


def test_a_refused_resume_leaves_the_run_s_configuration(
    run_here: RunHere, saved: Path, tiny: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(saved)
    given = (*tiny, *QUIET, "trainer.max_steps=1", f"hydra.run.dir={saved}", "ckpt_path=auto")
    assert run_here("train", *given, "variant=head") == 2
    assert "was trained with another network (activation=relu" in " ".join(
        capsys.readouterr().err.split()
    )
    written = contents(saved)
    assert {name: written[name] for name in before} == before


def test_a_saved_fold_is_changed_everywhere_or_not_at_all(
    run_here: RunHere, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A saved configuration has the fold twice; the data's is the one that counts."""
    assert run_here("train", *again(saved, "fold=1")) == 2
    assert "fold=1, but data.fold=0" in " ".join(capsys.readouterr().err.split())


def test_a_configuration_that_does_not_tell_its_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no output_dir"):
        move_into(OmegaConf.create({"fold": 0}), tmp_path)


def test_folders_of_like_names_are_left_alone(tmp_path: Path) -> None:
    cfg = OmegaConf.create(
        {
            "output_dir": "/runs/a", "fold": 0, "setting": 1, "seed": 0, "callbacks": {},
            "logger": {"csv": {"save_dir": "/runs/a", "other": "/runs/ab"}},
            "trainer": {"plugins": [{"dirpath": "/runs/a/checkpoints"}]},
        }
    )  # fmt: skip
    move_into(cfg, Path("/new"))
    assert cfg.logger.csv == {"save_dir": "/new", "other": "/runs/ab"}
    assert cfg.trainer.plugins[0].dirpath == "/new/checkpoints"
