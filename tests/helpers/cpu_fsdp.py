"""FSDP between two processes of a CPU: Lightning keeps it for GPUs, torch does not."""

from __future__ import annotations

import torch
from pytorch_lightning.strategies import FSDPStrategy
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel


class CpuFSDP(FSDPStrategy):
    """Lightning's strategy, but for the device."""

    def _setup_model(self, model: nn.Module) -> nn.Module:
        return FullyShardedDataParallel(
            model,
            device_id=torch.device("cpu"),
            sharding_strategy=self.sharding_strategy,
            **self.kwargs,
        )
