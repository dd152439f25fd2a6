"""Callbacks by themselves; trainings with them are in tests/cli."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.demos.boring_classes import BoringModel

from gmrd.nn import Descriptors
from gmrd.training.callbacks import (
    AtomicCheckpointIO,
    Preemption,
    SaveLast,
    Throughput,
    TrainingProgress,
    switched_on,
)
from gmrd.training.callbacks.episode_pictures import affinity_figure, descriptor_figure


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    plugin, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    plugin.save_checkpoint({"step": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        plugin.save_checkpoint({"step": lambda: None}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.fixture
def handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(("batch_idx", "stops"), [(0, False), (1, True), (2, False), (3, True)])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another process"])
def test_sigterm_waits_for_the_end_of_an_accumulated_step(
    tmp_path: Path, batch_idx: int, stops: bool, elsewhere: bool
) -> None:
    saved: list[Path] = []
    trainer: Any = SimpleNamespace(
        accumulate_grad_batches=2, loggers=[], save_checkpoint=saved.append, is_global_zero=True,
        strategy=SimpleNamespace(reduce_boolean_decision=lambda heard, all: heard or elsewhere),
    )  # fmt: skip
    callback = Preemption(tmp_path)
    Preemption.on_train_start.__wrapped__(callback, trainer, None)  # the types are Lightning's
    if not elsewhere:
        os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(SystemExit, match="143") if stops else nullcontext():
        Preemption.on_train_batch_end.__wrapped__(callback, trainer, None, None, None, batch_idx)
    assert saved == [tmp_path / "last.ckpt"] * stops


def test_affinity_maps_are_drawn_by_how_much_they_vary() -> None:
    maps = np.stack(
        [np.full((4, 4), 0.1), np.eye(4), 0.5 * np.eye(4), np.ones((4, 4)), np.zeros((4, 4))]
    )
    figure = affinity_figure(maps, n_maps=2)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ["descriptor 1", "descriptor 2", "mean", "boundary"]


def test_descriptors_are_drawn_by_their_cosines() -> None:
    foreground, background = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]]), torch.tensor([[[-1.0, 0.0]]])
    drawn = descriptor_figure(Descriptors(foreground, background)).axes[0].images[0].get_array()
    expected = [[1, 0, -1], [0, 1, 0], [-1, 0, 1]]
    np.testing.assert_allclose(np.asarray(drawn), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("switch", "left_out"),
    [
        ({}, set()),
        ({"enable_checkpointing": False}, {"SaveLast", "Preemption"}),
        ({"fast_dev_run": True}, {"SaveLast", "Preemption"}),
        ({"enable_progress_bar": False}, {"TrainingProgress"}),
    ],
)
def test_the_trainer_s_switches_turn_callbacks_off(
    tmp_path: Path, switch: dict[str, bool], left_out: set[str]
) -> None:
    callbacks = [SaveLast(tmp_path), Preemption(tmp_path), TrainingProgress(), Throughput()]
    on = ("enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    settings = OmegaConf.create({**dict.fromkeys(on, True), "fast_dev_run": False, **switch})
    kept = {type(callback).__name__ for callback in switched_on(callbacks, settings)}
    assert {type(callback).__name__ for callback in callbacks} - kept == left_out


class Log:
    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.rows.append((step, metrics))


def test_throughput_counts_episodes_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 4.0, 8.0, 8.0])
    monkeypatch.setattr("gmrd.training.callbacks.throughput.time.perf_counter", lambda: next(clock))
    log = Log()
    trainer: Any = SimpleNamespace(
        world_size=2, accumulate_grad_batches=1, log_every_n_steps=2, loggers=[log], global_step=0
    )
    module: Any = SimpleNamespace(device=torch.device("cpu"))
    batch: Any = SimpleNamespace(query_masks=torch.zeros(3, 1, 4, 4))
    callback: Any = Throughput()
    callback._restart()
    for step in (1, 2):
        Throughput.on_train_batch_start.__wrapped__(callback, trainer, module, batch, step)
        trainer.global_step = step
        Throughput.on_train_batch_end.__wrapped__(callback, trainer, module, None, batch, step)
    ((step, measured),) = log.rows
    assert step == 1
    assert measured["throughput/episodes_per_second"] == pytest.approx(2 * 2 * 3 / 8)
    assert measured["throughput/data_wait_fraction"] == pytest.approx(2 / 8)


def test_the_bar_counts_to_the_last_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = Trainer(
        default_root_dir=tmp_path, accelerator="cpu", max_steps=6, limit_train_batches=4,
        limit_val_batches=0, logger=False, enable_checkpointing=False, enable_model_summary=False,
        callbacks=[TrainingProgress()],
    )  # fmt: skip
    trainer.fit(BoringModel())
    printed = capsys.readouterr().out
    assert "step 6 of 6" in printed
    assert "Epoch" not in printed
