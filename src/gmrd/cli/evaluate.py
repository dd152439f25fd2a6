"""gmrd-evaluate: a checkpoint against the held-out cases of a fold."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from gmrd.cli.console import command
from gmrd.evaluation.fold import refuse_what_was_seen, score_fold
from gmrd.module import load_module
from gmrd.training.tracking import save_config


@command("evaluate")
def main(cfg: DictConfig) -> float:
    """Console entry point."""
    module = load_module(cfg.ckpt_path)
    datamodule = instantiate(cfg.data)
    refuse_what_was_seen(cfg.ckpt_path, module.hparams.get("scans") or {}, datamodule)
    output_dir = Path(HydraConfig.get().runtime.output_dir)
    save_config(cfg, output_dir)
    return score_fold(module, datamodule, cfg, output_dir)["test/dice"]
