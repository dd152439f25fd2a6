"""Exports agree with the network; the lean checkpoint loads and predicts nearly the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gmrd.checkpoint.load import load_module
from gmrd.errors import InputError
from gmrd.module import GMRDModule
from gmrd.predict.export import QueryPath, _agreed, export_program, shrink
from helpers.commands import environment
from helpers.warm import Warm


def test_the_query_path_is_the_networks_prediction(checkpoint: Path) -> None:
    network = load_module(checkpoint).network.eval()
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:20, 10:24] = 1
    with torch.no_grad():
        described = network.describe(torch.randn(1, 1, 32, 32), mask)
        slices = torch.randn(3, 32, 32)
        expected = network.predict(slices, [described])[0]
        found = QueryPath(network)(slices, described.foreground[0], described.background[0])
    torch.testing.assert_close(found, expected)


Run = Callable[[str, Path], str]


@pytest.fixture
def run(checkpoint: Path, warm: Warm, tmp_path: Path) -> Run:
    """The command, as a person runs it: shape annotations are not checked while tracing."""

    def export(form: str, out: Path) -> str:
        settings = [f"ckpt_path={checkpoint}", f"format={form}", f"out={out}"]
        result = warm.run("gmrd.cli.export", *settings, cwd=tmp_path, env=environment())
        assert result.returncode == 0, result.stderr
        assert "Warning" not in result.stderr
        return result.stdout

    return export


def test_the_exported_program_agrees(run: Run, tmp_path: Path) -> None:
    said = run("torch", tmp_path / "gmrd.pt2")
    assert said.startswith(f"{tmp_path / 'gmrd.pt2'}: ")
    assert "torch.export agrees with the network" in said


def test_the_path_is_printed_as_it_is(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "a folder's name that is longer than a line of eighty characters [" / "b]"
    out.mkdir(parents=True)
    assert run("checkpoint", out / "gmrd.ckpt").startswith(f"{out / 'gmrd.ckpt'}: ")


def test_onnxruntime_agrees(run: Run, tmp_path: Path) -> None:
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module, reason="ONNX: install gmrd[export]")
    said = run("onnx", tmp_path / "gmrd.onnx")
    assert said.startswith(f"{tmp_path / 'gmrd.onnx'}: "), "without what the optimiser logs"
    assert "onnxruntime agrees with the network" in said
    assert [file.name for file in tmp_path.iterdir()] == ["gmrd.onnx"]


def test_a_network_that_matches_positions_names_a_format_that_exists(tmp_path: Path) -> None:
    matching = GMRDModule(
        network={"backbone": "resnet18", "n_features": 8, "image_size": 32, "matching": {}},
        loss={},
        optimizer={"_target_": "torch.optim.SGD", "lr": 0.1},
    )
    path = tmp_path / "matching.ckpt"
    torch.save(
        {"hyper_parameters": dict(matching.hparams), "state_dict": matching.state_dict()}, path
    )
    with pytest.raises(InputError, match=r"or use format=(\w+)") as refused:
        export_program(path, tmp_path / "out.pt2")
    assert str(refused.value).endswith("format=checkpoint")


def test_an_export_that_differs_is_not_kept_quiet() -> None:
    with pytest.raises(RuntimeError, match=r"differs from the network by 0\.5"):
        _agreed("onnxruntime", 0.5)
    with pytest.raises(RuntimeError, match="differs"):
        _agreed("onnxruntime", float("nan"))


def test_a_lean_checkpoint_predicts_nearly_the_same(checkpoint: Path, tmp_path: Path) -> None:
    lean = tmp_path / "lean.ckpt"
    shrink(checkpoint, lean)
    assert lean.stat().st_size < 0.6 * checkpoint.stat().st_size
    whole, half = (load_module(path).network.eval() for path in (checkpoint, lean))
    slices = torch.randn(2, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            half.encoder(slices), whole.encoder(slices), atol=0.02, rtol=0.02
        )
    with pytest.raises(InputError, match="no checkpoint"):
        shrink(tmp_path / "absent.ckpt", lean)


@pytest.mark.parametrize("pretrained", [{}, {"pretrained": "imagenet"}], ids=["unnamed", "named"])
def test_a_lean_checkpoint_needs_no_pretrained_weights(
    checkpoint: Path, tmp_path: Path, pretrained: dict[str, str]
) -> None:
    """A network of one's own may not take the setting, so it must not be added either."""
    trained, lean = tmp_path / "trained.ckpt", tmp_path / "lean.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"]["network"] |= pretrained
    torch.save(content, trained)
    shrink(trained, lean)
    network = torch.load(lean, weights_only=True)["hyper_parameters"]["network"]
    assert network == {**content["hyper_parameters"]["network"], **dict.fromkeys(pretrained)}
