"""Initial weights of the encoder: torchvision's, or a file's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights
from torchvision.models.segmentation import (
    DeepLabV3_ResNet50_Weights,
    DeepLabV3_ResNet101_Weights,
)

from gmrd.errors import InputError
from gmrd.nn.encoder import Encoder

RANDOM = (None, "none")
"""Values for no pretrained weights; ``none`` is for configurations."""

_COCO = {
    "resnet50": DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1,
    "resnet101": DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1,
}


def load_pretrained(encoder: Encoder, backbone: str, source: str) -> None:
    """Load a ResNet's weights into the encoder; the 1 x 1 reduction keeps its own.

    Args:
        encoder: gets the weights.
        backbone: which ResNet it has.
        source: ``imagenet`` | ``coco_deeplabv3``, from torchvision's cache or the network, or
            a file: a state dict in torchvision's names, of a ResNet or of a DeepLabv3.

    Raises:
        InputError: the weights or the file do not exist, are not cached and cannot be downloaded,
            or belong to another ResNet; the message says which file to put where.
    """
    weights = _read(backbone, source)
    if any(name.startswith("backbone.") for name in weights):
        weights = {
            name.removeprefix("backbone."): value
            for name, value in weights.items()
            if name.startswith("backbone.")
        }
    stem = {"conv1.": "0.", "bn1.": "1."}
    _fill(
        encoder.stem, {stem[p] + n[len(p) :]: v for p in stem for n, v in _of(weights, p)}, source
    )
    for layer in ("layer1", "layer2", "layer3"):
        _fill(getattr(encoder, layer), _without_prefix(weights, f"{layer}."), source)
    if encoder.threshold is not None:
        _fill(encoder.threshold.layer4, _without_prefix(weights, "layer4."), source)
        if "fc.weight" in weights:  # a segmentation network has none
            _fill(encoder.threshold.fc, _without_prefix(weights, "fc."), source)


def _read(backbone: str, source: str) -> Mapping[str, Tensor]:
    if source not in ("imagenet", "coco_deeplabv3"):
        return _read_file(Path(source))
    if source == "coco_deeplabv3" and backbone not in _COCO:
        raise InputError(
            f"pretrained=coco_deeplabv3 exists for {' and '.join(_COCO)}, not for {backbone}: "
            "use one of these or pretrained=imagenet"
        )
    if source == "imagenet":
        weights = get_model_weights(backbone)["IMAGENET1K_V1"]  # type: ignore[misc]
    else:
        weights = _COCO[backbone]
    url = str(weights.url)
    place = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    try:
        state: Mapping[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"pretrained={source} is neither on this machine nor could it be downloaded "
            f"({error}): download {url} on another machine and put it at {place}, or set "
            "model.network.pretrained to the file's path, or to none for random weights"
        ) from error
    return state


def _read_file(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise InputError(
            f"pretrained={path} is neither imagenet, coco_deeplabv3 nor a file: put a state dict "
            "with torchvision's names there, or set model.network.pretrained=none for random "
            "weights"
        )
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"pretrained={path} cannot be read as tensors alone: {error}") from error
    if not isinstance(loaded, Mapping):
        raise InputError(f"pretrained={path} contains a {type(loaded).__name__}, not a state dict")
    return loaded


def _of(weights: Mapping[str, Tensor], prefix: str) -> list[tuple[str, Tensor]]:
    return [(name, value) for name, value in weights.items() if name.startswith(prefix)]


def _without_prefix(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in _of(weights, prefix)}


def _fill(module: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"pretrained={source} does not fit the backbone: {error}; set backbone to the ResNet "
            "that these weights belong to"
        ) from error
