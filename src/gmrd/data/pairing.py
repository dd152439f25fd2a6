"""Pairing of query slices with support slices, by the evaluation protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor
from torch.utils.data import Dataset

from gmrd.data.protocol import query_chunks, support_slices
from gmrd.data.split import EvaluationCase, Split
from gmrd.data.volume import Volume
from gmrd.types import Chunk, ScoredCase

Protocol = Literal["chunks", "all_slices"]


def pair_slices(
    query: Volume,
    supports: Sequence[Volume],
    class_id: int,
    *,
    n_chunks: int = 3,
    protocol: Protocol = "chunks",
) -> list[Chunk]:
    """Pair parts of the query with the support slices at the same part of each support.

    Args:
        query: The volume to segment.
        supports: Volumes whose label of the class is given.
        class_id: The class.
        n_chunks: Support slices per volume, and parts of the query.
        protocol: ``chunks`` divides the slices that contain the class; ``all_slices`` does not use
            the query's ground truth, and pairs slices by relative height in the volume.
    """
    annotated = [(support.image, support.mask(class_id)) for support in supports]
    images, masks = annotated_slices(annotated, n_chunks)
    parts = (
        query_chunks(query.mask(class_id), n_chunks)
        if protocol == "chunks"
        else _parts_by_height(annotated[0][1], n_chunks, len(query.image))
    )
    return [
        Chunk(images[:, part], masks[:, part], tuple(slices)) for part, slices in enumerate(parts)
    ]


def annotated_slices(
    annotated: Sequence[tuple[Float32[np.ndarray, "z y x"], Bool[np.ndarray, "z y x"]]],
    n_slices: int,
) -> tuple[Float[Tensor, "k n h w"], Float[Tensor, "k n h w"]]:
    """The slices at :func:`support_slices` of K volumes, and a class's masks on them.

    Args:
        annotated: Volumes with their masks of the class.
        n_slices: Slices of each volume.
    """
    chosen = [support_slices(mask, n_slices) for _, mask in annotated]
    images = [image[z] for (image, _), z in zip(annotated, chosen, strict=True)]
    masks = [mask[z] for (_, mask), z in zip(annotated, chosen, strict=True)]
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks)).float()


def _parts_by_height(
    mask: Bool[np.ndarray, "z y x"], n_chunks: int, n_query: int
) -> list[list[int]]:
    """Pair each query slice with the support slice nearest in relative height."""
    heights = (np.asarray(support_slices(mask, n_chunks)) + 0.5) / len(mask)
    nearest = [int(np.abs(heights - (z + 0.5) / n_query).argmin()) for z in range(n_query)]
    return [[z for z in range(n_query) if nearest[z] == part] for part in range(n_chunks)]


@dataclass(frozen=True)
class ScoredCases(Dataset[ScoredCase]):
    """The query cases of a fold, paired by the protocol of published figures: three chunks."""

    split: Split

    def __len__(self) -> int:
        """The number of query cases."""
        return len(self.split.evaluation_plan())

    def __getitem__(self, index: int) -> ScoredCase:
        """Query case ``index``, in the fold's order."""
        data = self.split.data
        query, supports = self.split.evaluation_plan()[index]
        case = EvaluationCase(
            data.volume(query),
            {label: tuple(map(data.volume, cases)) for label, cases in supports.items()},
        )
        return ScoredCase(
            case_id=case.query.case_id,
            query=torch.from_numpy(case.query.image),
            chunks={
                label: pair_slices(case.query, volumes, label)
                for label, volumes in case.supports.items()
            },
            truth={label: torch.from_numpy(case.query.mask(label)) for label in case.supports},
            names={label: data.classes[label] for label in case.supports},
        )
