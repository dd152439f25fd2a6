"""A scan resampled to working slices, with intensity ranks and encoding."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32, Int
from torch import Tensor, nn

from gmrd.matching.ranks import UNIT
from gmrd.matching.tokens import TokenGrid, as_tokens
from gmrd.nn.lite import STRIDE, encode_slices

MARGIN = 2
"""Cells around the body that are encoded, too."""

Progress = Callable[[str, int, int], None]
"""Called with the name of a step, how much of it is done, and the total."""


def content_digest(facts: str, *arrays: np.ndarray) -> str:
    """SHA-256 of some facts and of arrays with their shapes."""
    total = hashlib.sha256(facts.encode())
    for array in arrays:
        total.update(f"{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def silent(task: str, done: int, total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class WorkingScan:
    """A volume resampled to the frame of a support.

    Attributes:
        ranks: intensity ranks within the body, 0 to 1; sides are multiples of 32 pixels.
        body: mask of the patient.
        spacing: (z, y, x) in mm.
    """

    ranks: Float32[np.ndarray, "z y x"]
    body: Bool[np.ndarray, "z y x"]
    spacing: tuple[float, float, float]

    @property
    def heights(self) -> Float32[Tensor, " z"]:
        """Height of each slice above the first, in mm."""
        return torch.arange(len(self.ranks), dtype=torch.float32) * self.spacing[0]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its content."""
        return content_digest(f"{self.spacing}", self.ranks, self.body)

    def mirrored(self) -> WorkingScan:
        """The scan with left and right swapped."""
        return replace(self, ranks=self.ranks[:, :, ::-1].copy(), body=self.body[:, :, ::-1].copy())

    def coarse(self, encoder: nn.Module, progress: Progress = silent) -> TokenGrid:
        """Tokens of all slices, one cell per 8 pixels."""
        return self._encoded(encoder, torch.arange(len(self.ranks)), 1, progress)

    def fine(
        self, encoder: nn.Module, slices: Int[Tensor, " n"], progress: Progress = silent
    ) -> TokenGrid:
        """Tokens of some slices, one cell per 4 pixels, encoded at twice the size."""
        return self._encoded(encoder, slices, 2, progress)

    def _encoded(
        self, encoder: nn.Module, slices: Int[Tensor, " n"], scale: int, progress: Progress
    ) -> TokenGrid:
        cells, planes = STRIDE // scale, slices.numpy()  # NumPy takes a tensor of one for a number
        body = F.avg_pool2d(torch.from_numpy(self.body[planes])[:, None].float(), cells)[:, 0] > 0.3
        rows, columns = _around(body, scale)
        pixels = tuple(slice(part.start * cells, part.stop * cells) for part in (rows, columns))
        images = UNIT * (torch.from_numpy(self.ranks[planes][:, pixels[0], pixels[1]]) - 0.5)
        levels: list[Tensor] = []
        for done, image in enumerate(images):
            progress("Encoding", done, len(images))
            large = F.interpolate(image[None, None], scale_factor=float(scale), mode="bilinear")[0]
            encoded = encode_slices(encoder, large)
            levels = levels or [torch.empty(len(images), *part.shape[1:]) for part in encoded]
            for place, part in enumerate(encoded):  # no name keeps a level alive beyond `del`
                levels[place][done] = part[0]
        progress("Encoding", len(images), len(images))
        inside = as_tokens(levels)
        del levels
        tokens = torch.zeros(*body.shape, inside.shape[-1])
        tokens[:, rows, columns] = inside
        return TokenGrid(tokens, body, self.heights[slices], self.spacing[1] * cells)

    def box(self) -> tuple[float, float, float, float]:
        """Edges (top, bottom, left, right) of the body in mm, as medians over the slices."""
        edges = [_edges(piece) for piece in self.body if piece.any()]
        top, bottom, left, right = np.median(np.array(edges), axis=0)
        _, y, x = self.spacing
        return float(top * y), float(bottom * y), float(left * x), float(right * x)


def _edges(piece: Bool[np.ndarray, "y x"]) -> tuple[int, int, int, int]:
    """First and last row and column with at least a tenth of the largest one's pixels."""
    found = []
    for axis in (1, 0):
        profile = piece.sum(axis=axis)
        full = np.flatnonzero(profile > 0.1 * profile.max())
        found += [int(full[0]), int(full[-1]) + 1]
    top, bottom, left, right = found
    return top, bottom, left, right


def _around(body: Bool[Tensor, "z h w"], scale: int) -> tuple[slice, slice]:
    """Rows and columns of cells around the body, in multiples of 4 cells."""
    parts = []
    for axis, size in ((2, body.shape[1]), (1, body.shape[2])):
        held = torch.nonzero(body.any(dim=0).any(dim=axis - 1))[:, 0]
        low, high = (int(held[0]), int(held[-1]) + 1) if len(held) else (0, size)
        low = max(0, (low - MARGIN * scale) // 4 * 4)
        parts.append(slice(low, min(size, -(-(high + MARGIN * scale) // 4) * 4)))
    return parts[0], parts[1]
