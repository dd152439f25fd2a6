"""gmrd-evaluate: score a checkpoint on the test cases of a fold."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gmrd.cli.console import command


@command("evaluate")
def main(cfg: DictConfig) -> float:
    """Console entry point."""
    from gmrd.checkpoint.file import read_checkpoint, steps_of
    from gmrd.checkpoint.load import rebuilt
    from gmrd.checkpoint.record import record_of
    from gmrd.data.build import plain, read_split
    from gmrd.evaluation.fold import score_fold
    from gmrd.evaluation.settings import EvaluationSettings
    from gmrd.evaluation.unseen import refuse_what_was_seen
    from gmrd.training.tracking import save_config

    path = Path(str(cfg.ckpt_path))
    checkpoint = read_checkpoint(path)
    module = rebuilt(checkpoint, path)
    split, record = read_split(plain(cfg.data)), record_of(module)
    refuse_what_was_seen(cfg.ckpt_path, record, split)
    if record is not None:
        split = split.reading(record.intensity)
    output_dir = Path(HydraConfig.get().runtime.output_dir)
    save_config(cfg, output_dir)
    settings = EvaluationSettings.from_config(cfg)
    steps = steps_of(checkpoint)
    return score_fold(module, split, settings, output_dir, steps=steps)["test/dice"]


if __name__ == "__main__":
    main()
