"""Two gloo processes, however started, train as one does that accumulates their episodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gmrd.errors import InputError
from gmrd.module import GMRDModule
from helpers.commands import SIGNALLED, Command, Train, environment
from helpers.files import csv_rows
from helpers.ports import free_port
from helpers.slurm_stand_in import install

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

SHORT = ("trainer.max_steps=3", "~callbacks.pictures")


@pytest.fixture(scope="module")
def alone(train: Train, tmp_path_factory: pytest.TempPathFactory) -> GMRDModule:
    """Trained by one process that accumulates."""
    folder = tmp_path_factory.mktemp("alone")
    return train(
        folder, *SHORT, "trainer.accumulate_grad_batches=2", "trainer.val_check_interval=6",
        "evaluate=false",
    )[1]  # fmt: skip


def assert_trained_as(alone: GMRDModule, folder: Path) -> None:
    """The checkpoint's parameters; batch norm's statistics differ, as ranks see other slices."""
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for name, value in alone.named_parameters():
        assert torch.allclose(saved[name], value, atol=1e-5), name


def assert_every_case_once(folder: Path) -> None:
    rows = csv_rows(folder / "scores.csv")
    queries = [(row["organ"], row["case"]) for row in rows]
    assert len(queries) == len(set(queries)) == 8, "4 organs of 2 cases, each once"


def test_two_processes_equal_one(
    alone: GMRDModule, train: Train, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "witness.py").write_text(WITNESS)
    run = command(
        "gmrd.cli.train", *SHORT, "trainer.devices=2", "trainer.strategy=ddp",
        f"hydra.run.dir={tmp_path}/ddp",
        "+callbacks.witness._target_=witness.Witness", f"+callbacks.witness.folder={tmp_path}",
        PL_TORCH_DISTRIBUTED_BACKEND="gloo",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    ranks = [torch.load(tmp_path / f"rank_{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert all(torch.equal(value, ranks[1][name]) for name, value in ranks[0].items())
    kept = [json.loads((tmp_path / f"rank_{rank}.json").read_text()) for rank in (0, 1)]
    assert kept[0] == kept[1]
    assert_trained_as(alone, tmp_path / "ddp")
    assert_every_case_once(tmp_path / "ddp")

    again = f"ckpt_path={tmp_path}/ddp/checkpoints/last.ckpt"
    train(tmp_path / "scored", again, *SHORT)
    scores = [(tmp_path / run / "scores.csv").read_text() for run in ("ddp", "scored")]
    assert scores[0] == scores[1]


def test_spawned_processes_equal_one(alone: GMRDModule, train: Train, tmp_path: Path) -> None:
    """What the children measured and logged is not lost with them."""
    metrics, module = train(
        tmp_path, *SHORT, "trainer=ddp_spawn", "trainer.accelerator=cpu", "trainer.devices=2",
        "evaluation.weights=best",
    )  # fmt: skip
    assert_trained_as(alone, tmp_path)
    assert_every_case_once(tmp_path)
    assert {"val/pseudo_dice", "test/dice"} <= metrics.keys()
    best = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, best[name]) for name, value in module.state_dict().items())
    rows = csv_rows(tmp_path / "csv/metrics.csv")
    assert sum(bool(row["throughput/episodes_per_second"]) for row in rows) == 3
    assert sum(bool(row["test/dice"]) for row in rows) == 1


def test_fsdp_over_two_machines_equals_one(
    alone: GMRDModule, tiny: tuple[str, ...], tmp_path: Path
) -> None:
    """Two agents of torchrun with a process each, on which the parameters are divided."""
    line = (
        sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
        "--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{free_port()}", "-m", "gmrd.cli.train",
        *tiny, "trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=1",
        "trainer.num_nodes=2", "trainer.strategy._target_=helpers.cpu_fsdp.CpuFSDP",
        "trainer.max_steps=3", f"hydra.run.dir={tmp_path}",
    )  # fmt: skip
    agents = [
        subprocess.Popen(
            line, env=environment(PYTHONPATH=str(Path(__file__).parents[1])),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    printed = [agent.communicate(timeout=300)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], "\n".join(printed)[-5000:]
    assert_trained_as(alone, tmp_path)
    assert_every_case_once(tmp_path)
    assert (tmp_path / "training_pictures/episode_000003.png").is_file()


@pytest.mark.parametrize(
    ("strategy", "signalled"),
    [("ddp", "rank=1"), ("ddp_spawn", "to_parent=true")],
    ids=["one of two", "the parent of two"],
)
def test_sigterm_ends_all_processes_at_one_step_and_saves(
    alone: GMRDModule, command: Command, tmp_path: Path, strategy: str, signalled: str
) -> None:
    (tmp_path / "signalled.py").write_text(SIGNALLED)
    folder, trained = tmp_path / "run", ("evaluate=false", *SHORT)
    two = ("trainer.devices=2", f"trainer.strategy={strategy}", f"hydra.run.dir={folder}")
    run = command(
        "gmrd.cli.train", *trained, *two, "+callbacks.signal._target_=signalled.At",
        "+callbacks.signal.step=1", "+callbacks.signal.name=SIGTERM",
        f"+callbacks.signal.{signalled}",
        PL_TORCH_DISTRIBUTED_BACKEND="gloo",
    )  # fmt: skip
    assert run.returncode == 143, run.stderr[-3000:]
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    run = command(
        "gmrd.cli.train", *trained, *two, "ckpt_path=auto", PL_TORCH_DISTRIBUTED_BACKEND="gloo"
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert_trained_as(alone, folder)


SLURM = """
from submitit.slurm.slurm import SlurmJob
SlurmJob.watcher._delay_s = 1  # seconds between two questions, in place of 600
from gmrd.cli.train import main
main()
"""


def test_slurm_tasks_equal_one(alone: GMRDModule, tiny: tuple[str, ...], tmp_path: Path) -> None:
    """Two jobs of two tasks by the submitit launcher; one fails, the other trains by DDP."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="the extra gmrd[sweep]")
    install(tmp_path / "bin")
    run = subprocess.run(
        [
            sys.executable, "-c", SLURM, "-m", *tiny, *SHORT, "hydra/launcher=submitit_slurm",
            "hydra.launcher.nodes=2", "trainer.num_nodes=2", "trainer.strategy=ddp", "fold=99,0",
            f"hydra.sweep.dir={tmp_path}/sweep",
        ],
        env=environment(
            PATH=f"{tmp_path}/bin:{os.environ['PATH']}", PL_TORCH_DISTRIBUTED_BACKEND="gloo"
        ),
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert run.returncode == 2, run.stdout + run.stderr
    assert "Jobs: 2, failed: 1" in run.stdout
    logs = sorted((tmp_path / "sweep/.submitit/4711_1").glob("*.out"))
    assert len(logs) == 2
    assert all(f"MEMBER: {rank}/2" in log.read_text() for rank, log in enumerate(logs, 1))
    assert_trained_as(alone, tmp_path / "sweep/1")
    assert_every_case_once(tmp_path / "sweep/1")


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        (("trainer=fsdp",), "strategy=fsdp shards parameters over GPUs.*accelerator=cpu"),
        (("trainer=ddp",), "devices=-1 means all GPUs.*trainer.devices=2"),
    ],
)
def test_what_needs_gpus_says_so(
    train: Train, tmp_path: Path, options: tuple[str, ...], refused: str
) -> None:
    with pytest.raises(InputError, match=refused):
        train(tmp_path, *options, "trainer.accelerator=cpu")
