"""The network compiles as one graph: nothing in a step waits for the host."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import torch
from gmrd.losses import GMRDLoss
from gmrd.nn import build_network
from gmrd.types import Episode

torch.manual_seed(0)
network = build_network(backbone="{backbone}", n_features=8, n_foreground=3, n_background=5,
                        image_size=32, fill="{fill}", dropout=0.0).train()
for module in network.modules():
    if isinstance(module, torch.nn.Dropout2d):
        module.p = 0.0
images, masks = torch.randn(2, 2, 32, 32), torch.rand(2, 2, 32, 32) > 0.7
episode = Episode(images[:, :1], masks[:, :1].float(), images[:, 1:], masks[:, 1:].long())
loss = GMRDLoss()
eager = loss(network(episode), episode)["total"]

@torch.compile(fullgraph=True, backend="aot_eager")
def step(episode):
    return loss(network(episode), episode)["total"]

compiled = step(episode)
compiled.backward()
assert all(p.grad is not None for p in network.parameters())
if "{fill}" != "random":
    torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-5)
print("one graph")
"""


@pytest.mark.parametrize(("backbone", "fill"), [("resnet18", "random"), ("resnet50", "cyclic")])
def test_one_graph(backbone: str, fill: str) -> None:
    # A process of its own: the shape checks of the test suite are not part of the program.
    program = PROGRAM.format(backbone=backbone, fill=fill)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "one graph" in done.stdout
