"""gmrd-train: self-supervised training, then the held-out cases scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import seed_everything

from gmrd.cli.console import command
from gmrd.cli.evaluate import score_fold
from gmrd.errors import InputError


def train(cfg: DictConfig) -> tuple[dict[str, float], dict[str, Any]]:
    """Train as ``cfg`` says and return the metrics and the objects that made them."""
    seed_everything(cfg.seed, workers=True, verbose=False)
    output_dir = Path(HydraConfig.get().runtime.output_dir)
    OmegaConf.save(cfg, output_dir / "config.yaml", resolve=True)
    if cfg.ckpt_path is not None and not Path(cfg.ckpt_path).is_file():
        raise InputError(f"ckpt_path={cfg.ckpt_path}: there is no such checkpoint to resume from")
    datamodule = instantiate(cfg.data)
    module = instantiate(cfg.model)
    trainer = instantiate(
        cfg.trainer,
        callbacks=[instantiate(callback) for callback in cfg.callbacks.values() if callback],
        logger=[instantiate(logger) for logger in cfg.logger.values() if logger],
    )
    trainer.fit(module, datamodule, ckpt_path=cfg.ckpt_path, weights_only=True)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    if cfg.evaluate and trainer.is_global_zero:
        metrics |= score_fold(module, datamodule, cfg.evaluation, output_dir)
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)
    objects = {"cfg": cfg, "datamodule": datamodule, "module": module, "trainer": trainer}
    return metrics, objects


@command("train")
def main(cfg: DictConfig) -> float | None:
    """Console entry point; returns the mean Dice for sweepers to optimise."""
    metrics, _ = train(cfg)
    return metrics.get("test/dice")
