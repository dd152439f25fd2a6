"""Two gloo processes train as one process does that accumulates their episodes."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from .conftest import Command, Train

WITNESS = """
import json
import torch
from pathlib import Path
from pytorch_lightning import Callback

class Witness(Callback):
    '''Writes what every rank has at the end.'''
    def __init__(self, folder):
        self.folder = Path(folder)
    def on_train_end(self, trainer, module):
        torch.save(dict(module.named_parameters()), self.folder / f"rank_{trainer.global_rank}.pt")
        kept = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        (self.folder / f"rank_{trainer.global_rank}.json").write_text(json.dumps(kept))
"""


def test_two_processes_equal_one(train: Train, command: Command, tmp_path: Path) -> None:
    (tmp_path / "witness.py").write_text(WITNESS)
    run = command(
        "gmrd.cli.train", "trainer.devices=2", "trainer.strategy=ddp", "trainer.max_steps=3",
        "~callbacks.pictures", f"hydra.run.dir={tmp_path}/ddp",
        "+callbacks.witness._target_=witness.Witness", f"+callbacks.witness.folder={tmp_path}",
        PL_TORCH_DISTRIBUTED_BACKEND="gloo",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    ranks = [torch.load(tmp_path / f"rank_{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert all(torch.equal(value, ranks[1][name]) for name, value in ranks[0].items())

    _, objects = train(
        tmp_path / "one", "trainer.accumulate_grad_batches=2", "trainer.max_steps=3",
        "trainer.val_check_interval=6", "~callbacks.pictures",
    )  # fmt: skip
    alone = dict(objects["module"].named_parameters())  # type: ignore[attr-defined]
    for name, value in ranks[0].items():
        assert torch.allclose(value, alone[name], atol=1e-5), name

    kept = [json.loads((tmp_path / f"rank_{rank}.json").read_text()) for rank in (0, 1)]
    assert kept[0] == kept[1]
    scores = (tmp_path / "ddp/scores.csv").read_text().splitlines()[1:]
    queries = [tuple(line.split(",")[1:3]) for line in scores]
    assert len(queries) == len(set(queries)) == 8, "4 organs of 2 cases, each once"

    again = f"ckpt_path={tmp_path}/ddp/checkpoints/last.ckpt"
    train(tmp_path / "scored", again, "trainer.max_steps=3", "~callbacks.pictures")
    assert (tmp_path / "scored/scores.csv").read_text().splitlines()[1:] == scores
