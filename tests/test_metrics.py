"""The metrics of training, against a plain count over all episodes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from gmrd.data.episodes import collate_episodes
from gmrd.metrics import EpisodeMetrics, PseudoDice
from gmrd.module import GMRDModule
from gmrd.types import IGNORE_LABEL, Episode

N = 12
NAMES = ("total", "query")


@dataclass(frozen=True)
class Measured:
    """N episodes: losses (N, 2), probabilities and masks (N, query, h, w)."""

    losses: Tensor
    probability: Tensor
    masks: Tensor

    def batches(self, size: int, first: int = 0, last: int = N) -> EpisodeMetrics:
        metrics = EpisodeMetrics()
        for start in range(first, last, size):
            part = slice(start, min(start + size, last))
            losses = dict(zip(NAMES, self.losses[part].mean(0), strict=True))
            metrics.update(losses, self.probability[part], self.masks[part])
        return metrics

    def expected(self) -> dict[str, float]:
        overlap = predicted = true = 0
        for probability, mask in zip(
            self.probability.flatten().tolist(), self.masks.flatten().tolist(), strict=True
        ):
            if mask == IGNORE_LABEL:
                continue
            overlap += probability > 0.5 and mask == 1
            predicted += probability > 0.5
            true += mask == 1
        total, query = (sum(column) / N for column in self.losses.T.tolist())
        dice = 2 * overlap / (predicted + true)
        return {"loss": total, "query_loss": query, "pseudo_dice": dice}


@pytest.fixture
def measured() -> Measured:
    """Episodes whose classes differ much in size, some pixels ignored."""
    generator = torch.Generator().manual_seed(0)
    share = torch.linspace(0.02, 0.9, N)[:, None, None, None]
    masks = (torch.rand(N, 2, 8, 8, generator=generator) < share).long()
    masks[torch.rand(masks.shape, generator=generator) < 0.05] = IGNORE_LABEL
    return Measured(
        torch.rand(N, 2, generator=generator),
        torch.rand(masks.shape, generator=generator) * (0.4 + share),
        masks,
    )


def as_numbers(values: dict[str, Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in values.items()}


@pytest.mark.parametrize("size", [1, 5, N])
def test_the_size_of_batches_makes_no_difference(measured: Measured, size: int) -> None:
    found = as_numbers(measured.batches(size).compute())
    assert found == pytest.approx(measured.expected(), rel=1e-6)


def test_a_mean_of_batches_is_something_else(measured: Measured) -> None:
    per_batch = [
        PseudoDice()(measured.probability[i : i + 1], measured.masks[i : i + 1]) for i in range(N)
    ]
    mean = torch.stack(per_batch).mean().item()
    assert abs(mean - measured.expected()["pseudo_dice"]) > 0.05


@pytest.mark.parametrize("cut", [1, 5])
def test_processes_are_pooled_by_their_episodes(measured: Measured, cut: int) -> None:
    one, other = measured.batches(2, 0, cut), measured.batches(3, cut)
    pairs = [(one.pseudo_dice, other.pseudo_dice)]
    pairs += [(one.means[name], other.means[name]) for name in one.means]
    for metric, of_other_process in pairs:
        metric.merge_state(of_other_process)
    assert as_numbers(one.compute()) == pytest.approx(measured.expected(), rel=1e-6)


def test_dice_by_hand() -> None:
    dice = PseudoDice()
    dice.update(torch.tensor([[[[0.9, 0.9, 0.1, 0.1]]]]), torch.tensor([[[[1, 0, 1, 0]]]]))
    assert dice.compute().item() == pytest.approx(0.5)
    dice.reset()
    dice.update(torch.zeros(1, 1, 1, 4), torch.zeros(1, 1, 1, 4, dtype=torch.long))
    assert dice.compute().item() == 0


@pytest.mark.filterwarnings("ignore:The ``compute`` method")  # of the losses that are left out
def test_reset_forgets_and_a_checkpoint_holds_nothing_of_it(measured: Measured) -> None:
    metrics = measured.batches(4)
    assert not metrics.state_dict()
    metrics.reset()
    metrics.update({"total": torch.tensor(3.0)}, measured.probability[:2], measured.masks[:2])
    assert metrics.compute()["loss"].item() == 3.0


class Log(Callback):
    """What the progress bar and the loggers could show after each step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        self.steps.append(as_numbers(dict(trainer.callback_metrics)))


def fit(
    module: LightningModule, episodes: Sequence[Episode], folder: Path, *, size: int
) -> tuple[Log, Trainer]:
    log = Log()
    trainer = Trainer(
        max_steps=4, accelerator="cpu", default_root_dir=folder, logger=False, callbacks=[log],
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        log_every_n_steps=2, num_sanity_val_steps=0, val_check_interval=4,
    )  # fmt: skip

    def loader(size: int) -> DataLoader[Episode]:
        return DataLoader(episodes, batch_size=size, collate_fn=collate_episodes)  # type: ignore[arg-type]

    trainer.fit(module, loader(1), loader(size))
    return log, trainer


class Constant(torch.nn.Module):
    """A loss whose value is the step, so that it is known what a log line pools."""

    def __init__(self, module: GMRDModule) -> None:
        super().__init__()
        self.module = [module]

    def forward(self, output: object, batch: Episode) -> dict[str, Tensor]:
        (module,) = self.module
        anchor = sum(p.sum() * 0 for p in module.network.parameters())
        return {"total": anchor + float(module.global_step)}


@pytest.fixture
def episodes() -> list[Episode]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(5, 1, 1, 32, 32, generator=generator)
    masks = torch.zeros(1, 1, 32, 32)
    masks[..., 8:20, 10:24] = 1
    return [Episode(image, masks, image, masks.long()) for image in images]


def test_a_log_line_is_of_the_episodes_since_the_last_one(
    module: GMRDModule, episodes: list[Episode], tmp_path: Path
) -> None:
    trained = GMRDModule.rebuilt(module.hparams)
    trained.loss = Constant(trained)  # type: ignore[assignment]
    log, _ = fit(trained, episodes, tmp_path, size=2)
    assert [step["train/loss"] for step in log.steps] == [0.0, 0.5, 2.0, 2.5]


def test_a_validation_is_the_same_for_any_size_of_batches(
    module: GMRDModule, episodes: list[Episode], tmp_path: Path
) -> None:
    found = []
    for size in (1, 2, 5):
        trained = GMRDModule.rebuilt(module.hparams)
        trained.load_state_dict(module.state_dict())
        values = fit(trained, episodes, tmp_path, size=size)[1].callback_metrics
        found.append([values["val/loss"].item(), values["val/pseudo_dice"].item()])
    assert found[0][1] > 0
    assert found[1] == pytest.approx(found[0], rel=1e-4)
    assert found[2] == pytest.approx(found[0], rel=1e-4)
