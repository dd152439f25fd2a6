"""Parts from outside the package, as docs/extend.md shows them: trained, scored, used, exported."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from gmrd.checkpoint.load import load_module
from gmrd.components import VARIABLE, allowing, build, locate, refuse_foreign
from gmrd.errors import InputError
from gmrd.module import GMRDModule
from gmrd.training.resume import checkpoint_to_resume
from helpers.commands import RunHere, Train

PAGE = (Path(__file__).parents[1] / "docs" / "extend.md").read_text()
LAST = "run/checkpoints/last.ckpt"


def shown(language: str, path: str) -> str:
    """The block of the page that begins with a comment that names a file."""
    (text,) = re.findall(rf"```{language}\n# {re.escape(path)}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


@pytest.fixture
def mylab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files, in a folder that Python finds."""
    folder = tmp_path / "mylab"
    (folder / "my-configs/experiment").mkdir(parents=True)
    (folder / "mylab.py").write_text(shown("python", "mylab.py"))
    experiment = "my-configs/experiment/mylab.yaml"
    (folder / experiment).write_text(shown("yaml", experiment))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "mylab", raising=False)
    monkeypatch.delenv(VARIABLE, raising=False)
    return folder


def test_the_page_s_parts_go_the_whole_way(
    run_here: RunHere,
    mylab: Path,
    tiny: tuple[str, ...],
    support: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = tuple(o for o in tiny if o.startswith(("data", "fold")))
    folder = ("--config-dir", str(mylab / "my-configs"))
    parts = ("experiment=mylab", "optimizer=adam")
    quiet = ("evaluate=false", "~callbacks.pictures", "trainer.max_steps=2", "hydra.run.dir=run")
    assert run_here("train", *folder, *tiny, *quiet, *parts) == 0
    saved = torch.load(LAST, weights_only=True)
    settings = saved["hyper_parameters"]
    assert settings["network"]["encoder"] == {"_target_": "mylab.SmallEncoder", "channels": 16}
    assert settings["optimizer"]["_target_"] == "torch.optim.Adam"
    assert saved["state_dict"]["network.encoder.layers.0.weight"].shape == (16, 1, 4, 4)

    image, label = support
    commands: dict[str, tuple[str, ...]] = {
        "evaluate": (*data, "baselines=false", "hydra.run.dir=scored"),
        "predict": (
            f"support.image={image}", f"support.label={label}", f"query={image}", "out=found",
        ),
        "export": ("format=torch", "out=mylab.pt2"),
    }  # fmt: skip
    for name, given in commands.items():
        capsys.readouterr()
        assert run_here(name, f"ckpt_path={LAST}", *given) == 2
        refused = " ".join(capsys.readouterr().err.split())
        assert "names mylab.SmallEncoder, which is not part of gmrd" in refused
        assert "add allow=[mylab] or set GMRD_ALLOW=mylab" in refused
        assert run_here(name, f"ckpt_path={LAST}", *given, "allow=[mylab]") == 0
    assert "variant paper, mylab.SmallEncoder, mylab.DiceLoss" in (
        load_about(Path("scored/summary.json"))
    )


OTHERS = """
import torch
from torch import nn
from torchmetrics import MeanMetric


class MeanDecoder(nn.Module):
    def __init__(self, *, n_descriptors: int, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((n_descriptors + 2,), scale))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return (maps * self.weight[:, None, None]).mean(dim=1)


class Descent(torch.optim.SGD):
    pass


class Halving(torch.optim.lr_scheduler.StepLR):
    def __init__(self, optimizer, every: int) -> None:
        super().__init__(optimizer, every, gamma=0.5)


class Certainty(MeanMetric):
    def update(self, probability, masks) -> None:
        super().update((probability - 0.5).abs())
"""


def test_a_decoder_an_optimiser_a_schedule_and_a_metric_of_one_s_own(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "others.py").write_text(OTHERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    metrics, trained = train(
        tmp_path / "run", "evaluate=false", "~callbacks.pictures", "trainer.max_steps=3",
        "model.network.decoder._target_=others.MeanDecoder", "+model.network.decoder.scale=2.0",
        "model.optimizer._target_=others.Descent",
        "~model.scheduler.step_size", "~model.scheduler.gamma", "+model.scheduler.every=2",
        "model.scheduler._target_=others.Halving",
        "model.metrics={certainty: {_target_: others.Certainty}}",
    )  # fmt: skip
    assert 0 < metrics["val/certainty"] < 0.5
    path = tmp_path / LAST
    saved = torch.load(path, weights_only=True)
    assert saved["lr_schedulers"][0]["_last_lr"] == [trained.lr / 2]
    with pytest.raises(InputError, match=r"names others\.\w+, which is not part of gmrd"):
        load_module(path)
    with allowing(["others"]):
        found = load_module(path).network.foreground_decoder
    assert type(found).__name__ == "MeanDecoder"
    assert torch.equal(found.weight, trained.network.foreground_decoder.weight)
    assert not torch.equal(found.weight, torch.full((6,), 2.0)), "it learns"


FOCAL = """
from torch import nn


class Focal(nn.Module):
    def __init__(self, focus: float = 2.0) -> None:
        super().__init__()
        self.focus = focus

    def forward(self, output, episode):
        return {"total": output.probabilities[:, :, 1].pow(self.focus).mean()}
"""


@pytest.mark.parametrize(
    ("path", "text", "chosen"),
    [
        (
            "loss/focal.yaml",
            "# @package model\nloss: {_target_: focal.Focal, focus: 1.5}\n",
            "loss=focal",
        ),
        (
            "experiment/focal.yaml",
            "# @package _global_\ndefaults:\n  - override /loss: null\n"
            "model:\n  loss: {_target_: focal.Focal, focus: 1.5}\n",
            "experiment=focal",
        ),
    ],
)
def test_a_loss_takes_none_of_the_arguments_that_it_replaces(
    path: str,
    text: str,
    chosen: str,
    run_here: RunHere,
    tiny: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "focal.py").write_text(FOCAL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "focal", raising=False)
    file = tmp_path / "my-configs" / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    quiet = ("evaluate=false", "~callbacks.pictures", "trainer.max_steps=1", "hydra.run.dir=run")
    assert run_here("train", "--config-dir", "my-configs", *tiny, *quiet, chosen) == 0
    settings = torch.load(LAST, weights_only=True)["hyper_parameters"]
    assert settings["loss"] == {"_target_": "focal.Focal", "focus": 1.5}


def load_about(path: Path) -> str:
    import json

    about = json.loads(path.read_text())["about"]
    return f"variant {about['variant']}"


class Sharper(GMRDModule):
    """A module of equal shapes that computes something else."""


def test_a_subclass_is_never_taken_for_the_plain_module(
    module: GMRDModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "sharper", sys.modules[__name__])
    monkeypatch.setattr(Sharper, "__module__", "sharper")
    sharper = Sharper.rebuilt(module.hparams)
    path = tmp_path / "sharper.ckpt"
    torch.save(
        {"hyper_parameters": dict(sharper.hparams), "state_dict": sharper.state_dict()}, path
    )
    with pytest.raises(InputError, match=r"names sharper\.Sharper.*allow=\[sharper\]"):
        load_module(path)
    with allowing(["sharper"]):
        assert type(load_module(path)) is Sharper


def test_another_module_is_not_gone_on_with(module: GMRDModule, tmp_path: Path) -> None:
    """Its parameters have the same shapes and settings: nothing else would tell them apart."""
    path = tmp_path / "last.ckpt"
    saved = {"hyper_parameters": dict(module.hparams), "state_dict": module.state_dict()}
    torch.save({**saved, "global_step": 1}, path)
    assert checkpoint_to_resume(str(path), tmp_path, module) == path
    with pytest.raises(
        InputError, match=r"model\._target_=gmrd\.module\.GMRDModule, here .*Sharper"
    ):
        checkpoint_to_resume(str(path), tmp_path, Sharper.rebuilt(module.hparams))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.Loss", "cannot be imported"),
        ("gmrd.losses.NoLoss", "cannot be imported"),
        ("Loss", "cannot be imported"),
        ("os.system", "is neither a Module"),
        ("gmrd.types.Episode", "is neither a Module"),
        ("gmrd.io.atomic.replacing", "is neither a Module"),
        ("torch.nn.functional.relu", "is neither a Module"),
    ],
)
def test_what_is_no_part_is_never_called(name: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"model\.loss\._target_={re.escape(name)} {words}"):
        locate("model.loss", name, torch.nn.Module)


def test_a_refused_argument_is_named() -> None:
    with pytest.raises(
        InputError, match=r"model\.loss\.size is not a setting of Linear: there are .*in_features"
    ):
        build("model.loss", {"_target_": "torch.nn.Linear", "in_features": 2, "size": 3},
              torch.nn.Module)  # fmt: skip
    with pytest.raises(InputError, match=r"add model\.loss\._target_="):
        build("model.loss", {}, torch.nn.Module)


@pytest.mark.parametrize(
    "settings",
    [
        {"_target_": "os.system"},
        {"network": {"encoder": {"deeper": [{"_target_": "gmrdx.Encoder"}]}}},
        {"_target_": "torch.hub.load"},
    ],
)
def test_names_at_any_depth_are_refused(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InputError, match=r"x\.ckpt names .* allow="):
        refuse_foreign(settings, "x.ckpt")


def test_permission_ends_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "one")
    with allowing(["two"]):
        refuse_foreign([{"_target_": "one.A"}, {"_target_": "two.B"}], "x.ckpt")
    with pytest.raises(InputError, match=r"names two\.B"):
        refuse_foreign([{"_target_": "one.A"}, {"_target_": "two.B"}], "x.ckpt")
