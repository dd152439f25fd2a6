"""gmrd-evaluate: a checkpoint against the held-out cases of a fold."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gmrd.cli.console import command


@command("evaluate")
def main(cfg: DictConfig) -> float:
    """Console entry point."""
    from gmrd.data.build import plain, read_split
    from gmrd.evaluation.about import record_of
    from gmrd.evaluation.fold import score_fold
    from gmrd.evaluation.settings import EvaluationSettings
    from gmrd.evaluation.unseen import refuse_what_was_seen
    from gmrd.module import load_module, steps_of
    from gmrd.training.tracking import save_config

    module = load_module(cfg.ckpt_path)
    split = read_split(plain(cfg.data))
    refuse_what_was_seen(cfg.ckpt_path, record_of(module), split)
    output_dir = Path(HydraConfig.get().runtime.output_dir)
    save_config(cfg, output_dir)
    settings = EvaluationSettings.from_config(cfg)
    steps = steps_of(Path(cfg.ckpt_path))
    return score_fold(module, split, settings, output_dir, steps=steps)["test/dice"]
