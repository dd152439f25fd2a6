"""Supports laid along their query: what a network sees in one place, it sees there in both.

People are of different sizes and lie in different places. Two scans are aligned by their
features, without any label (:mod:`gmrd.matching.alignment`), and the annotated slices are
resampled in plane before the network compares them with the query's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gmrd.data.volume import Volume
from gmrd.matching.alignment import Alignment, Box, align
from gmrd.matching.ranks import body_mask, ranks
from gmrd.matching.scan import WorkingScan
from gmrd.matching.tokens import TokenGrid
from gmrd.nn.lite import fused_encoder
from gmrd.types import Chunk

SIDE_MULTIPLE = 32
"""Pixels that the sides of a slice are padded to a multiple of for the encoder."""


class Along:
    """Lays annotated slices on a query's, volume by volume; the last alignments are kept.

    Args:
        encoder: whose features align the volumes, see :func:`gmrd.nn.lite.lite_encoder`.
    """

    def __init__(self, encoder: str = "lite0") -> None:
        self.encoder: nn.Module = fused_encoder(encoder)
        # One query with a support or a few: every class asks for the same ones.
        self._encoded = lru_cache(maxsize=4)(self._encode)
        self._aligned = lru_cache(maxsize=8)(self._align)

    def lay(self, chunk: Chunk, query: Volume, supports: Sequence[Volume]) -> Chunk:
        """The chunk with its support slices resampled to where the query shows the same.

        Heights stay as the chunk pairs them; the alignment at its middle slice tells the rest.
        What enters from outside a support slice has its lowest value and mask 0.
        """
        middle = chunk.query_slices[len(chunk.query_slices) // 2]
        images, masks = [], []
        for place, support in enumerate(supports):
            grid = self._sampling_grid(query, support, middle)
            image, mask = chunk.support_images[place], chunk.support_masks[place]
            lowest = image.min()
            both = torch.stack([image - lowest, mask])[None]
            laid = F.grid_sample(both, grid, align_corners=False)[0]
            images.append(laid[0] + lowest)
            masks.append((laid[1] >= 0.5).float())
        found = torch.stack(masks)
        if not found.any():  # laid out of the slice: as it lies is better than nothing
            return chunk
        return replace(chunk, support_images=torch.stack(images), support_masks=found)

    def _sampling_grid(self, query: Volume, support: Volume, z: int) -> Float[Tensor, "1 h w 2"]:
        """Where in a support slice each pixel of query slice ``z`` is found, as (x, y) in ±1."""
        rows, columns = query.image.shape[1:]
        pixels = TokenGrid(
            tokens=torch.zeros(1, rows, columns, 0),
            body=torch.ones(1, rows, columns, dtype=torch.bool),
            heights=torch.tensor([z * query.spacing[0]]),
            cell=query.spacing[1],
        )
        alignment = self._aligned(_Kept(query), _Kept(support))
        expected = self._on_pixels(alignment, pixels, z)[0, ..., 1:]
        sides = torch.tensor(support.image.shape[1:]) * torch.tensor(support.spacing[1:])
        grid: Tensor = (expected / sides * 2 - 1).flip(-1)[None]
        return grid.float()

    @staticmethod
    def _on_pixels(alignment: Alignment, pixels: TokenGrid, z: int) -> Tensor:
        """The alignment's field covers padded slices, of which the pixels are the first part."""
        shape = pixels.tokens.shape[1:3]
        padded = tuple(-(-side // SIDE_MULTIPLE) * SIDE_MULTIPLE for side in shape)
        whole = TokenGrid(
            tokens=torch.zeros(1, *padded, 0),
            body=torch.ones(1, *padded, dtype=torch.bool),
            heights=pixels.heights,
            cell=pixels.cell,
        )
        return alignment.of(whole, [z])[:, : shape[0], : shape[1]]

    def _align(self, query: _Kept, support: _Kept) -> Alignment:
        (here, box), (there, other_box) = self._encoded(query), self._encoded(support)
        return align(here, there, box, other_box)

    def _encode(self, kept: _Kept) -> tuple[TokenGrid, Box]:
        volume = kept.volume
        body = body_mask(volume.image)
        rows, columns = (-side % SIDE_MULTIPLE for side in volume.image.shape[1:])
        around = ((0, 0), (0, rows), (0, columns))
        scan = WorkingScan(
            np.pad(ranks(volume.image, body), around), np.pad(body, around), volume.spacing
        )
        return scan.coarse(self.encoder), scan.box()


class _Kept:
    """A volume that a cache finds again by its case."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume

    def __hash__(self) -> int:
        return hash(self.volume.case_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kept) and other.volume is self.volume
