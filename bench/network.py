"""What the full-size network costs: time, peak memory and the floor, beside a plain port.

    python bench/network.py  # 2-core CPU: some minutes, 8 GB; bench/gpu.py is for a GPU

Every measurement runs in a process of its own, so that its peak memory is its own. CPU time is
given beside wall time: on a machine that does other work, it is the one to compare.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

PUBLIC = {
    "training step": "17-20 s, 7 GB",
    "evaluation, a volume": "5.7 s a slice of one organ",
}
"""Measured once with the public research code on a 2-core CPU."""

VOLUME = {1: range(12, 36), 2: range(12, 26), 3: range(14, 30), 4: range(18, 32)}
"""Slices of liver, kidneys and spleen in a usual abdominal MRI (CHAOST2, case 1: 37 slices)."""


def episode(size: int = 256, n: int = 1):
    from gmrd.types import Episode

    generator = torch.Generator().manual_seed(0)
    image = torch.randn(n, 2, size, size, generator=generator)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    mask = (((y - 120) / 40) ** 2 + ((x - 100) / 30) ** 2 < 1).expand(n, 1, size, size)
    return Episode(image[:, :1], mask.float(), image[:, 1:], mask.long())


def build(kind: str):
    from gmrd.nn import build_network

    torch.manual_seed(0)
    if kind.startswith("lean"):
        return build_network(fill="cyclic")
    from gmrd.nn.plain import PlainNetwork

    return PlainNetwork(build_network(fill="cyclic", with_threshold=True))


def timed(work: Callable[[], object], repeats: int, *, warm_up: bool = True) -> dict[str, float]:
    if warm_up:
        work()
    best = {"wall": float("inf"), "cpu": float("inf")}
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        best["wall"] = min(best["wall"], time.perf_counter() - wall)
        best["cpu"] = min(best["cpu"], time.process_time() - cpu)
    return {**best, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def train(kind: str, repeats: int) -> dict[str, float]:
    from gmrd.losses import GMRDLoss

    network, loss, batch = build(kind).train(), GMRDLoss(), episode()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-3, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "lean bf16"):
            output = network(batch)
        loss(output, batch)["total"].backward()
        optimizer.step()
        optimizer.zero_grad()

    return timed(step, repeats)


def extent_mask(extent: range):
    return np.isin(np.arange(37), extent)[:, None, None]


@torch.inference_mode()
def evaluate(kind: str, repeats: int) -> dict[str, float]:
    """All organs of a volume by the 3-chunk protocol."""
    from gmrd.data.protocol import query_chunks
    from gmrd.inference import Chunk, segment

    network, one = build(kind).eval(), episode()
    support, mask = one.support_images[0], one.support_masks[0]
    volume = one.query_images[0].expand(37, -1, -1)
    chunks = {
        organ: [Chunk(support, mask, tuple(part)) for part in query_chunks(extent_mask(extent))]
        for organ, extent in VOLUME.items()
    }

    def lean() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "lean bf16"):
            segment(network, volume, chunks)

    def plain() -> None:
        for extent in VOLUME.values():
            for z in extent:
                network.predict(support[0], mask[0], volume[z])

    return timed(lean if kind.startswith("lean") else plain, repeats, warm_up=False)


@torch.inference_mode()
def encode(_: str, repeats: int, n_slices: int = 8) -> dict[str, float]:
    """The bare cost of encoding each of the volume's query slices once."""
    network = build("lean").eval()
    images = episode().query_images[0].expand(n_slices, -1, -1).contiguous()
    cost = timed(lambda: network.encoder(images), repeats)
    n = len(set().union(*VOLUME.values())) / n_slices
    return {**cost, "wall": cost["wall"] * n, "cpu": cost["cpu"] * n}


def floor(_: str, __: int) -> dict[str, float]:
    """Multiplications of a step counted by torch, bytes it has to move, and this machine's rate."""
    from torch.utils.flop_counter import FlopCounterMode

    network, batch = build("lean").eval(), episode()
    with torch.no_grad(), FlopCounterMode(display=False) as forward:
        network(batch)
    with torch.no_grad(), FlopCounterMode(display=False) as slice_:
        network.encoder(batch.query_images[0])
    a, b = torch.randn(2048, 4096), torch.randn(4096, 4096)
    rate = timed(lambda: a @ b, 5)
    weights = sum(p.numel() for p in network.parameters()) * 4
    return {
        "step_tflop": 3 * forward.get_total_flops() / 1e12,
        "slice_tflop": slice_.get_total_flops() / 1e12,
        # read by the forward and backward pass; gradient written and read; momentum and
        # weights read and written by the optimiser
        "step_gb": 8 * weights / 1e9,
        "gflops_wall": 2 * 2048 * 4096 * 4096 / rate["wall"] / 1e9,
        "gflops_cpu": 2 * 2048 * 4096 * 4096 / rate["cpu"] / 1e9,
    }


TASKS = {"train": train, "evaluate": evaluate, "encode": encode, "floor": floor}


def has_bf16() -> bool:
    """Whether the processor has bfloat16 instructions, without which a step takes minutes."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def measure(task: str, kind: str, n: int, threads: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--task", task, "--kind", kind, "-n", str(n)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def report(threads: int, repeats: int) -> None:
    print(f"{threads} threads, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    least = measure("floor", "lean", 1, threads)
    print("floor: " + ", ".join(f"{name} {value:.2f}" for name, value in least.items()))
    for title, task in (("training step", "train"), ("evaluation, a volume", "evaluate")):
        kinds = ["lean", "lean bf16", "plain"] if has_bf16() else ["lean", "plain"]
        rows = {}
        for kind in kinds:
            rows[kind] = row = measure(task, kind, repeats, threads)
            figures = f"{row['wall']:6.2f} s wall {row['cpu']:6.2f} s cpu {row['peak_gb']:5.2f} GB"
            print(f"{title:20} {kind:9} {figures}", flush=True)
        for kind in kinds[:-1]:
            ratio = {key: rows["plain"][key] / rows[kind][key] for key in rows[kind]}
            figures = ", ".join(f"{key} {v:.2f}" for key, v in ratio.items())
            print(f"{title:20} plain / {kind}: {figures}")
        print(f"{title:20} public code, measured elsewhere: {PUBLIC[title]}")
    row = measure("encode", "lean", repeats, threads)
    print(f"{'encoding, a volume':20} bare      {row['wall']:6.2f} s wall {row['cpu']:6.2f} s cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("-n", type=int, default=2, help="repeats")
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--kind", choices=["lean", "lean bf16", "plain"], default="lean")
    options = parser.parse_args()
    if options.task:
        print(json.dumps(TASKS[options.task](options.kind, options.n)))
    else:
        report(options.threads, options.n)


if __name__ == "__main__":
    main()
