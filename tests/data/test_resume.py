"""Training that is interrupted sees the episodes that an uninterrupted one would have seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from gmrd.types import Episode
from helpers.data import MakeData


class Recorder(LightningModule):
    """Trains one number and notes what it was fed."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[float] = []
        self.validated: list[float] = []

    def training_step(self, batch: Episode, batch_idx: int) -> Tensor:
        self.seen.append(batch.support_images.double().sum().item())
        return self.weight * 1.0

    def validation_step(self, batch: Episode, batch_idx: int) -> None:
        self.validated.append(batch.support_images.double().sum().item())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(make_data: MakeData, steps: int, folder: Path, **options: object) -> Recorder:
    resume = options.pop("resume", None)
    accumulate = int(options.pop("accumulate", 1))  # type: ignore[call-overload]
    limit = options.pop("limit", None)
    module = Recorder()
    trainer = Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        accumulate_grad_batches=accumulate,
        limit_train_batches=limit,
        default_root_dir=folder,
    )
    trainer.fit(module, make_data(**options), ckpt_path=resume, weights_only=True)
    trainer.save_checkpoint(folder / "last.ckpt")
    return module


def check(
    make_data: MakeData, folder: Path, *, first: int, total: int, **options: object
) -> list[float]:
    """What an uninterrupted training has seen, and so has one that was interrupted."""
    whole = train(make_data, total, folder, **options)
    begun = train(make_data, first, folder, **options)
    resumed = train(make_data, total, folder, resume=folder / "last.ckpt", **options)
    assert len(whole.seen) == len(set(whole.seen))
    assert begun.seen + resumed.seen == whole.seen
    return whole.seen


def test_resume_within_an_epoch(make_data: MakeData, tmp_path: Path) -> None:
    check(make_data, tmp_path, first=5, total=9)


def test_resume_in_a_later_epoch(make_data: MakeData, tmp_path: Path) -> None:
    check(make_data, tmp_path, first=17, total=40)


def test_resume_at_the_end_of_an_epoch(make_data: MakeData, tmp_path: Path) -> None:
    check(make_data, tmp_path, first=12, total=20)


def test_resume_with_batches_workers_and_accumulation(make_data: MakeData, tmp_path: Path) -> None:
    check(
        make_data, tmp_path, first=4, total=10, batch_size=2, num_workers=1, accumulate=2,
        n_episodes=16,
    )  # fmt: skip


@pytest.mark.parametrize("first", [2, 3, 4])
@pytest.mark.parametrize(
    "options",
    [
        {"n_episodes": 5, "accumulate": 2},
        {"n_episodes": 5, "batch_size": 2},
        {"limit": 3, "accumulate": 2},
    ],
    ids=["accumulation", "batches", "a limit"],
)
def test_an_epoch_that_is_not_divided_evenly_skips_nothing(
    make_data: MakeData, tmp_path: Path, options: dict[str, int], first: int
) -> None:
    """The last step of an epoch takes less, and the next epoch the next episode."""
    seen = check(make_data, tmp_path, first=first, total=8, **options)
    size = {"batch_size": options.get("batch_size", 1)}
    assert seen == train(make_data, len(seen), tmp_path, **size).seen


def test_epochs_differ_and_validation_does_not(make_data: MakeData, tmp_path: Path) -> None:
    module = train(make_data, 24, tmp_path)
    assert not set(module.seen[:12]) & set(module.seen[12:])
    assert module.validated[:4] == module.validated[4:8]


def test_without_a_fit_an_epoch_is_whole(make_data: MakeData) -> None:
    data = make_data()
    assert list(data.train_dataloader().sampler) == list(range(12))
    data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert list(data.train_dataloader().sampler) == list(range(12))


def test_several_processes_share_the_stream(make_data: MakeData) -> None:
    from gmrd.data.loader import EpisodeSampler

    dataset, left = make_data().episodes(), lambda: range(4, 12)
    samplers = [EpisodeSampler(dataset, left, rank=r, num_replicas=2) for r in range(2)]
    taken = [list(sampler) for sampler in samplers]
    assert sorted(taken[0] + taken[1]) == list(range(4, 12))
    assert [len(sampler) for sampler in samplers] == [6, 6]
