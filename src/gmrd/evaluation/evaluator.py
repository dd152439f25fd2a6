"""The field's evaluation: a fold's query volumes, segmented by protocol and scored.

``chunks`` is the protocol of published figures: it is given the query's slices that contain the
organ, divides them into equal chunks and predicts each with its own support slice. ``all_slices``
does not use the query's ground truth, like for a new scan: every slice is paired with a support
slice by its relative height in the volume.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from gmrd.adaptation import adapted
from gmrd.data.pairing import annotated_slices, pair_slices
from gmrd.data.split import EvaluationCase
from gmrd.data.volume import Volume
from gmrd.evaluation.aligned import Along
from gmrd.evaluation.metrics import volume_scores
from gmrd.evaluation.predictions import Probabilities
from gmrd.evaluation.scores import ScoredCase
from gmrd.evaluation.settings import EvaluationSettings
from gmrd.inference import THRESHOLD, Chunk, Segmenter, choose_device, segment
from gmrd.matching.scan import Progress, silent
from gmrd.nn import GMRD


@dataclass(frozen=True)
class Evaluator:
    """How query volumes are divided, segmented and scored.

    Args:
        classes: class id to organ name.
        settings: the protocol and the rest.
        progress: called with the progress of tuning.

    Raises:
        InputError: this machine lacks the device.
    """

    classes: Mapping[int, str]
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)
    progress: Progress = silent

    def __post_init__(self) -> None:
        self.device  # noqa: B018 - refused before anything runs

    @cached_property
    def device(self) -> torch.device:
        """Of the networks."""
        return choose_device(self.settings.device)

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
        if self.settings.adapt and isinstance(network, GMRD):
            network = self._tuned(network, case)
        size = self.settings.batch_size
        found = segment(network, query, chunks, batch_size=size, device=self.device)
        return {class_id: probability.numpy() for class_id, probability in found.items()}

    def chunks(self, query: Volume, supports: Sequence[Volume], class_id: int) -> list[Chunk]:
        """See :func:`gmrd.data.pairing.pair_slices`."""
        n_chunks, protocol = self.settings.n_chunks, self.settings.protocol
        chunks = pair_slices(query, supports, class_id, n_chunks=n_chunks, protocol=protocol)
        if self.settings.alignment == "none":
            return chunks
        return [self._along.lay(chunk, query, supports) for chunk in chunks if chunk.query_slices]

    def _tuned(self, network: GMRD, case: EvaluationCase) -> GMRD:
        """The network tuned on the case's supports; cases with the same supports share it."""
        key = (id(network), tuple(
            (class_id, tuple(volume.case_id for volume in supports))
            for class_id, supports in case.supports.items()
        ))  # fmt: skip
        if key not in self._kept:
            n_chunks, n_steps = self.settings.n_chunks, self.settings.adapt
            annotated = (
                annotated_slices([(s.image, s.mask(class_id)) for s in supports], n_chunks)
                for class_id, supports in case.supports.items()
            )
            classes = [(images.flatten(0, 1), masks.flatten(0, 1)) for images, masks in annotated]
            self._kept[key] = adapted(network, classes, n_steps, progress=self.progress)
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
