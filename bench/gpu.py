"""Everything that is worth measuring on a graphics card, in one command.

    python bench/gpu.py --root CHAOST2                 # about an hour on one card
    python bench/gpu.py --root CHAOST2 --minutes 240   # a training that takes its 36,000 steps
    python bench/gpu.py --device cpu --tiny            # tries the way, in minutes; no figure

CHAOST2 is a folder prepared by gmrd-prepare, with supervoxels; without it, phantoms of its size.
Prints Markdown: the card, then tables of

- training steps of the full network, started from random weights, and with the features of
  EfficientNet-Lite in place of the ResNet's: float32, bfloat16, compiled, with CUDA graphs, in
  batches of episodes; seconds to the first step, and peak memory;
- whether two trainings from one seed end with the same weights;
- a training by gmrd-train for some minutes: steps, the share of time that it waits for data, and
  its scores; then under the strategies for several processes, and two at once on the card;
- the segmentation of a volume with nothing trained.

Every measurement runs in a process of its own; one that fails is shown with its last line.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

KINDS = {
    "random, float32": {},
    "random, bfloat16": {"bf16": True},
    "random, bfloat16, compiled": {"bf16": True, "compiled": "default"},
    "random, bfloat16, CUDA graphs": {"bf16": True, "compiled": "reduce-overhead"},
    "random, bfloat16, compiled, batch 4": {"bf16": True, "compiled": "default", "batch": 4},
    "random, bfloat16, compiled, batch 8": {"bf16": True, "compiled": "default", "batch": 8},
    "Lite0, float32": {"lite": True},
    "Lite0, bfloat16": {"lite": True, "bf16": True},
    "Lite0, bfloat16, compiled": {"lite": True, "bf16": True, "compiled": "default"},
}


class LiteEncoder(nn.Module):
    """Both levels of EfficientNet-Lite0, pretrained and trained on, projected to ``n_features``."""

    def __init__(self, n_features: int) -> None:
        from gmrd.nn.lite import lite_encoder

        super().__init__()
        self.levels = lite_encoder("lite0").requires_grad_(True)
        n_channels = sum(self.levels.feature_info.channels())
        self.reduce = nn.Conv2d(n_channels, n_features, 1, bias=False)
        nn.init.kaiming_normal_(self.reduce.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.reduce(torch.cat(self.levels(images[:, None].expand(-1, 3, -1, -1)), dim=1))


def network(tiny: bool, lite: bool):
    from gmrd.nn import build_network

    torch.manual_seed(0)
    small = {"backbone": "resnet50", "n_features": 16, "n_foreground": 4, "n_background": 6,
             "image_size": 64}  # fmt: skip
    made = build_network(**(small if tiny else {}))
    if lite:
        made.encoder = LiteEncoder(16 if tiny else 512)
    return made


def episodes(size: int, batch: int, device: str):
    from gmrd.types import Episode

    images = torch.randn(batch, 2, size, size, generator=torch.Generator().manual_seed(0))
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    mask = ((y - size // 2) ** 2 + (x - size // 2) ** 2 < (size // 6) ** 2).expand(batch, 1, -1, -1)
    return Episode(images[:, :1], mask.float(), images[:, 1:], mask.long()).to(device)


def train(given, *, bf16=False, compiled=None, batch=1, lite=False, n=None, deterministic=False):
    """A network trained for n steps, the seconds to the first step, and steps a second."""
    from gmrd.losses import GMRDLoss

    if deterministic:
        torch.use_deterministic_algorithms(True)
    made, loss = network(given.tiny, lite).train().to(given.device), GMRDLoss().to(given.device)
    one = episodes(made.image_size, batch, given.device)
    trained = [p for p in made.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-3, momentum=0.9, weight_decay=5e-4)
    if compiled:  # compiling for a CPU takes minutes
        made.compile(**({"backend": "eager"} if given.tiny else {"mode": compiled}))

    def step(number: int) -> None:
        torch.manual_seed(number)
        with torch.autocast(given.device, torch.bfloat16, enabled=bf16):
            output = made(one)
        loss(output, one)["total"].backward()
        optimizer.step()
        optimizer.zero_grad()

    begin = time.perf_counter()
    step(0)
    synchronise(given.device)
    first, n = time.perf_counter() - begin, n or given.steps
    for number in range(3):
        step(number)
    synchronise(given.device)
    begin = time.perf_counter()
    for number in range(n):
        step(number)
    synchronise(given.device)
    return made, first, n / (time.perf_counter() - begin)


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak_gib(device: str) -> float:
    return torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else float("nan")


def steps(given) -> dict[str, object]:
    settings = KINDS[given.kind]
    _, first, speed = train(given, **settings)
    batch = settings.get("batch", 1)
    return {"training step": given.kind, "steps/s": speed, "episodes/s": speed * batch,
            "first step, s": first, "peak GiB": peak_gib(given.device)}  # fmt: skip


def determinism(given) -> dict[str, object]:
    def same(**settings) -> str:
        a, b = (train(given, n=5, **settings)[0].state_dict() for _ in range(2))
        return "equal" if all(torch.equal(a[name], b[name]) for name in a) else "differ"

    return {"two trainings from one seed": "weights after 9 steps", "as torch does it": same(),
            "trainer.deterministic=true": same(deterministic=True)}  # fmt: skip


def volume(given) -> dict[str, object]:
    """Seconds for a volume with nothing trained: the first pays for the support, the second not."""
    import gmrd
    from gmrd.data.phantom import make_phantom

    if given.root:
        folder, first, second = given.root / "chaos_MR_T2_normalized", *cases(given.root)[:2]
    else:
        folder = make_phantom(given.work / "volume", n_cases=2, size=64 if given.tiny else 256)
        first, second = "1", "2"
    support = (folder / f"image_{first}.nii.gz", folder / f"label_{first}.nii.gz")
    begin = time.perf_counter()
    predictor = gmrd.Predictor([support], options=gmrd.Options(device=given.device))
    prepared = time.perf_counter() - begin
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        predictor(folder / f"image_{second}.nii.gz")
        seconds.append(time.perf_counter() - begin)
    return {"a volume, nothing trained": "one support, all its organs", "support, s": prepared,
            "first query, s": seconds[0], "again, s": seconds[1],
            "peak GiB": peak_gib(given.device)}  # fmt: skip


def cases(root: Path) -> list[str]:
    found = (root / "chaos_MR_T2_normalized").glob("image_*.nii.gz")
    return sorted((p.name[6:-7] for p in found), key=int)


RUNS = {
    "trainer.strategy=auto": (),
    "ddp": ("trainer.strategy=ddp",),
    "ddp_spawn": ("trainer.strategy=ddp_spawn",),
    "fsdp": ("trainer=fsdp", "trainer.devices=1"),
}
"""One process each: a second would need a second card."""


def run(given) -> dict[str, object]:
    """A training by gmrd-train, as long as it may take; ``both`` runs two at once."""
    n = 2 if given.kind == "both" else 1
    folders = [Path(tempfile.mkdtemp(dir=given.work)) for _ in range(n)]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "gmrd.cli.train", *overrides(given, folder, seed)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for seed, folder in enumerate(folders)
    ]  # fmt: skip
    for process in running:
        printed = process.communicate()[0]
        if process.returncode:
            raise RuntimeError(printed.strip().splitlines()[-1])
    logged = [measured(folder / "csv/metrics.csv") for folder in folders]
    mean = {name: sum(of.get(name, float("nan")) for of in logged) / n for name in logged[0]}
    return {"gmrd-train": "two at once, each" if n == 2 else given.kind,
            # Lightning counts logged steps from 0; the scores stand at the number of steps.
            "steps": mean["step"] + ("test/dice" not in mean),
            "episodes/s": mean["throughput/episodes_per_second"],
            "waits for data": mean["throughput/data_wait_fraction"],
            "peak GiB": mean.get("throughput/peak_memory_gib", float("nan")),
            "val/pseudo_dice": mean.get("val/pseudo_dice", float("nan")),
            "test/dice": mean.get("test/dice", float("nan"))}  # fmt: skip


def overrides(given, folder: Path, seed: int) -> list[str]:
    """The full network from random weights, in bfloat16; with ``--tiny`` a few tiny steps."""
    long = given.kind == "trainer.strategy=auto"
    minutes = given.minutes if long else given.minutes / 10
    made = [f"data.root={given.work}/data", "data.n_folds=3", "data.num_workers=4"]
    data = ["data=chaost2", f"data.root={given.root}"] if given.root else ["data=phantom", *made]
    small = ["model=gmrd_small", "scheduler=step", "model.network.image_size=64",
             "data.min_area=20", "data.num_workers=0", "trainer.max_steps=4",
             "trainer.val_check_interval=2", "trainer.log_every_n_steps=1",
             "data.supervoxels.min_size=100"]  # fmt: skip
    full = [f"trainer.max_time='00:{int(minutes) // 60:02}:{int(minutes) % 60:02}:00'"]
    card = "gpu" if given.device == "cuda" else "cpu"
    return [*data, *RUNS.get(given.kind, ()), *(small if given.tiny else full), f"seed={seed}",
            f"trainer.accelerator={card}", "trainer.precision=bf16-mixed", f"evaluate={long}",
            "trainer.enable_progress_bar=false", "~callbacks.progress", f"hydra.run.dir={folder}",
            f"data.cache_dir={given.work}/cache"]  # fmt: skip


def measured(path: Path) -> dict[str, float]:
    """The last value of every column of a training's log."""
    last: dict[str, float] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            last |= {name: float(value) for name, value in row.items() if value}
    return last


TASKS = {
    "steps": (steps, tuple(KINDS)),
    "determinism": (determinism, ("",)),
    "run": (run, (*RUNS, "both")),
    "volume": (volume, ("",)),
}


def report(given) -> None:
    card = torch.cuda.get_device_name() if given.device == "cuda" else "no GPU: a CPU"
    print(
        f"{card}; torch {torch.__version__}, {os.cpu_count()} CPU cores, --minutes {given.minutes}"
    )
    for task, (_, kinds) in TASKS.items():
        heading: list[str] = []
        for kind in kinds:
            row = of_its_own(given, task, kind)
            if "failed" in row:
                print(f"\n{task} {kind}: failed: {row['failed']}")
                continue
            if list(row) != heading:
                heading = list(row)
                print("\n| " + " | ".join(heading) + " |" + "\n|" + " --- |" * len(heading))
            cells = (f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values())
            print("| " + " | ".join(cells) + " |", flush=True)


def of_its_own(given, task: str, kind: str) -> dict[str, object]:
    command = [sys.executable, __file__, *sys.argv[1:], "--work", str(given.work), "--task", task,
               "--kind", kind]  # fmt: skip
    environment = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no word"])[-1]}
    row: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="prepared CHAOST2; phantoms by default")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny networks and few steps")
    parser.add_argument("--minutes", type=float, default=20, help="of the long training")
    parser.add_argument("--steps", type=int, help="steps to time")
    for inner in ("--task", "--kind", "--work"):  # of a measurement's own process
        parser.add_argument(inner, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.steps = given.steps or (2 if given.tiny else 30)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --device cpu --tiny tries the way")
    if given.task:
        given.work = Path(given.work)
        print(json.dumps(TASKS[given.task][0](given)))
        return
    with tempfile.TemporaryDirectory() as folder:
        given.work = Path(folder)
        if not given.root:
            from gmrd.data.phantom import make_phantom

            make_phantom(given.work / "data", n_cases=6, size=64 if given.tiny else 256)
        report(given)


if __name__ == "__main__":
    main()
