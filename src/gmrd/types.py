"""The data types passed from the data to the network, and the names of dimensions.

Shape legend, used in all type annotations:
    batch   episodes in a batch            shot    support slices of an episode
    query   query slices of an episode     h w     pixels of a slice
    c       feature channels               k       descriptors (generated + mean + boundary)
    z y x   a volume's axes; a slice is volume[z], with rows y and columns x
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

IGNORE_LABEL = 255
"""Query pixels with this label are ignored by the losses (paper, section III-E)."""


@dataclass
class Episode:
    """A batch of one-way K-shot episodes.

    Not frozen, because Lightning fills a copy with converted tensors under FSDP and in lower
    precision.

    Images are z-scored greyscale slices; the encoder repeats them to three channels. Support
    masks are 1 inside the episode's class and 0 elsewhere; query masks may also hold
    ``IGNORE_LABEL``. Whether a support mask is empty is determined on the CPU, so that no training
    step has to synchronise with the accelerator.
    """

    support_images: Float[Tensor, "batch shot h w"]
    support_masks: Float[Tensor, "batch shot h w"]
    query_images: Float[Tensor, "batch query h w"]
    query_masks: Int[Tensor, "batch query h w"]
    any_empty_support: bool = False

    def to(self, device: torch.device | str) -> Episode:
        """The same episode on another device; copies to a GPU are asynchronous.

        (Copies from a GPU are not, since it would be unknown when the values have arrived.)
        """
        non_blocking = torch.device(device).type == "cuda"
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Episode:
        """The same episode in page-locked memory, for asynchronous copies to a GPU."""
        return self._mapped(Tensor.pin_memory)

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Episode:
        return replace(
            self,
            support_images=change(self.support_images),
            support_masks=change(self.support_masks),
            query_images=change(self.query_images),
            query_masks=change(self.query_masks),
        )


@dataclass(frozen=True)
class Chunk:
    """Query slices of one class, and the support slices (K shots) used to predict them."""

    support_images: Float[Tensor, "shot h w"]
    support_masks: Float[Tensor, "shot h w"]
    query_slices: tuple[int, ...]


@dataclass(frozen=True)
class ScoredCase:
    """A query volume of a fold with the supports of every class on which it is tested.

    Attributes:
        case_id: id of the case.
        query: the z-scored volume.
        chunks: by class id.
        truth: ground truth mask by class id.
        names: class id to name.
    """

    case_id: str
    query: Float[Tensor, "z y x"]
    chunks: Mapping[int, Sequence[Chunk]]
    truth: Mapping[int, Bool[Tensor, "z y x"]]
    names: Mapping[int, str]

    def to(self, device: torch.device | str) -> ScoredCase:
        """The case itself, since inference moves a few slices at a time to the device."""
        return self
