"""The field's evaluation: a fold's query volumes, segmented by protocol and scored.

``chunks`` is the protocol of published figures: it is given the query's slices that contain the
organ, divides them into equal chunks and predicts each with its own support slice. ``all_slices``
does not use the query's ground truth, like for a new scan: every slice is paired with a support
slice by its relative height in the volume.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from gmrd.adaptation import adapted
from gmrd.data.pairing import Protocol, annotated_slices, pair_slices
from gmrd.data.split import EvaluationCase
from gmrd.data.volume import Volume
from gmrd.evaluation.aligned import Along
from gmrd.evaluation.metrics import volume_scores
from gmrd.evaluation.predictions import Probabilities
from gmrd.evaluation.scores import ScoredCase
from gmrd.inference import THRESHOLD, Chunk, Segmenter, segment
from gmrd.matching.scan import Progress, silent
from gmrd.nn import GMRD
from gmrd.values.arguments import refuse_wrong_fields
from gmrd.values.kinds import Count, Natural

Alignment = Literal["none", "features"]


@dataclass(frozen=True)
class Evaluator:
    """How query volumes are divided, segmented and scored.

    Args:
        classes: class id to organ name.
        n_chunks: support slices per volume, and chunks of the query.
        protocol: see the module's docstring.
        alignment: ``none`` | ``features``: whether supports are aligned with the query.
        adapt: steps of tuning a network on each set of supports, see :mod:`gmrd.adaptation`;
            only a GMRD is tuned.
        batch_size: query slices encoded together.
        device: of the networks.
        progress: called with the progress of tuning.

    Raises:
        InputError: the protocol is unknown, or there is no chunk.
    """

    classes: Mapping[int, str]
    n_chunks: Count = 3
    protocol: Protocol = "chunks"
    alignment: Alignment = "none"
    adapt: Natural = 0
    batch_size: Count = 8
    device: torch.device | str = "cpu"
    progress: Progress = silent

    def __post_init__(self) -> None:
        refuse_wrong_fields("evaluation", self)

    def score(
        self, methods: Mapping[str, Segmenter], cases: Iterable[EvaluationCase]
    ) -> Iterator[tuple[EvaluationCase, dict[str, Probabilities], list[ScoredCase]]]:
        """Segment every case with every method: probabilities by method, and scores.

        Each class is scored separately, as usual in the field: two classes may claim one voxel.
        """
        for case in cases:
            found = {name: self.probabilities(network, case) for name, network in methods.items()}
            scores = [
                self._score(name, case, class_id, probability)
                for name, by_class in found.items()
                for class_id, probability in by_class.items()
            ]
            yield case, found, scores

    def probabilities(self, network: Segmenter, case: EvaluationCase) -> Probabilities:
        """Foreground probability of every class of the case, on the query's grid."""
        query = torch.from_numpy(case.query.image)
        chunks = {
            class_id: self.chunks(case.query, supports, class_id)
            for class_id, supports in case.supports.items()
        }
        if self.adapt and isinstance(network, GMRD):
            network = self._tuned(network, case)
        found = segment(network, query, chunks, batch_size=self.batch_size, device=self.device)
        return {class_id: probability.numpy() for class_id, probability in found.items()}

    def chunks(self, query: Volume, supports: Sequence[Volume], class_id: int) -> list[Chunk]:
        """See :func:`gmrd.data.pairing.pair_slices`."""
        chunks = pair_slices(
            query, supports, class_id, n_chunks=self.n_chunks, protocol=self.protocol
        )
        if self.alignment == "none":
            return chunks
        return [self._along.lay(chunk, query, supports) for chunk in chunks if chunk.query_slices]

    def _tuned(self, network: GMRD, case: EvaluationCase) -> GMRD:
        """The network tuned on the case's supports; cases with the same supports share it."""
        key = (id(network), tuple(
            (class_id, tuple(volume.case_id for volume in supports))
            for class_id, supports in case.supports.items()
        ))  # fmt: skip
        if key not in self._kept:
            annotated = (
                annotated_slices([(s.image, s.mask(class_id)) for s in supports], self.n_chunks)
                for class_id, supports in case.supports.items()
            )
            classes = [(images.flatten(0, 1), masks.flatten(0, 1)) for images, masks in annotated]
            self._kept[key] = adapted(network, classes, self.adapt, progress=self.progress)
        return self._kept[key]

    @cached_property
    def _kept(self) -> dict[tuple[int, object], GMRD]:
        return {}

    @cached_property
    def _along(self) -> Along:
        return Along()

    def _score(
        self, method: str, case: EvaluationCase, class_id: int, probability: NDArray[np.float32]
    ) -> ScoredCase:
        truth = case.query.mask(class_id)
        return ScoredCase(
            method=method,
            organ=self.classes[class_id],
            case_id=case.query.case_id,
            support_ids=tuple(volume.case_id for volume in case.supports[class_id]),
            score=volume_scores(probability > THRESHOLD, truth, case.query.spacing),
        )
