"""Exporting a trained network: a small checkpoint, a ``torch.export`` program, or ONNX.

Programs contain the query path: from slices and a support's descriptors to foreground
probabilities. Compute the descriptors once per support, with :meth:`gmrd.nn.GMRD.describe`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gmrd.checkpoint.load import load_module
from gmrd.errors import InputError
from gmrd.io.atomic import replacing
from gmrd.nn.network import GMRD, SupportDescriptors

TOLERANCE = 1e-4
INPUTS = ("slices", "foreground", "background")


class QueryPath(nn.Module):
    """From query slices and cached support descriptors to foreground probabilities."""

    def __init__(self, network: GMRD) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(
        self,
        slices: Float[Tensor, "n h w"],
        foreground: Float[Tensor, "kf c"],
        background: Float[Tensor, "kb c"],
    ) -> Float[Tensor, "n h w"]:
        """Foreground probability of every z-scored slice."""
        support = SupportDescriptors(foreground[None], background[None], empty=False)
        return self.network.predict(slices, [support])[0]


def shrink(ckpt_path: Path, out: Path) -> str:
    """Write a checkpoint with half-precision weights and without the state for resuming.

    Returns:
        A note on the result.
    """
    module = load_module(ckpt_path)
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in module.state_dict().items()
    }
    hyper_parameters = dict(module.hparams)
    network = hyper_parameters["network"]
    if "pretrained" in network:  # custom networks may lack it
        hyper_parameters["network"] = {**network, "pretrained": None}
    with replacing(out) as temporary:
        torch.save({"hyper_parameters": hyper_parameters, "state_dict": state}, temporary)
    return "Weights in half precision; training cannot be resumed from it."


def export_program(ckpt_path: Path, out: Path) -> str:
    """Write the query path with ``torch.export``, for any number of slices."""
    path, example = _traceable(ckpt_path)
    program = torch.export.export(path, example, dynamic_shapes=_dynamic())
    with replacing(out) as temporary, warnings.catch_warnings():
        # torch's note on how it stores its own format
        warnings.filterwarnings("ignore", message="No complete tensor found in the group")
        torch.export.save(program, temporary)
    other = _other_slices(example)
    difference = _difference(torch.export.load(out).module()(*other), path(*other))
    return _agreed("torch.export", difference)


def export_onnx(ckpt_path: Path, out: Path) -> str:
    """Write the query path as ONNX, and check it against the network with onnxruntime."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"ONNX needs {error.name}: pip install 'gmrd[export]'") from error
    path, example = _traceable(ckpt_path)
    with replacing(out) as temporary:
        program: Any = torch.onnx.export(
            path,
            example,
            dynamo=True,
            dynamic_shapes=_dynamic(),
            input_names=list(INPUTS),
            output_names=["probability"],
            verbose=False,
        )
        program.save(str(temporary), external_data=False)
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    other = _other_slices(example)
    named = {name: value.numpy() for name, value in zip(INPUTS, other, strict=True)}
    (found,) = session.run(None, named)
    return _agreed("onnxruntime", _difference(torch.from_numpy(found), path(*other)))


def _traceable(ckpt_path: Path) -> tuple[QueryPath, tuple[Tensor, Tensor, Tensor]]:
    network = load_module(ckpt_path).network.eval()
    if network.matching is not None:
        raise InputError(
            f"{ckpt_path} matches a support's positions, which an exported query path does not "
            "have: export a network with model.network.matching=null, or use format=checkpoint"
        )
    generator = torch.Generator().manual_seed(0)
    size = network.image_size
    images = torch.randn(1, 1, size, size, generator=generator)
    mask = torch.zeros(1, 1, size, size)
    mask[..., size // 4 : size // 2, size // 3 : 2 * size // 3] = 1
    with torch.no_grad():
        described = network.describe(images, mask)
        slices = torch.randn(2, size, size, generator=generator)
    return QueryPath(network), (slices, described.foreground[0], described.background[0])


def _other_slices(example: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The same descriptors with a number of slices other than the traced one."""
    slices = torch.randn(3, *example[0].shape[1:], generator=torch.Generator().manual_seed(1))
    return slices, example[1], example[2]


def _dynamic() -> tuple[Any, ...]:
    return ({0: torch.export.Dim("n", min=1, max=4096)}, None, None)


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).detach().abs().max())


def _agreed(runner: str, difference: float) -> str:
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"{runner} differs from the network by {difference:.2g}, more than {TOLERANCE:g}: "
            "do not use this export"
        )
    return f"{runner} agrees with the network to {difference:.1g} on other slices."
