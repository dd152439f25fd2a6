"""gmrd-train: train self-supervised, then score the test cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from gmrd.cli.console import command, construct
from gmrd.errors import InputError

if TYPE_CHECKING:
    from gmrd.module import GMRDModule

# Libraries are imported where they are used, so that a missing setting is reported at once.


def train(cfg: DictConfig) -> tuple[dict[str, float], GMRDModule]:
    """Train as configured; return the metrics and the trained module."""
    from pytorch_lightning import seed_everything

    from gmrd.processes import end_with_starter
    from gmrd.training.occupancy import alone_in
    from gmrd.training.rerun import move_into
    from gmrd.training.strategy import refuse_ddp_in_multirun, refuse_missing_gpus

    end_with_starter()
    refuse_ddp_in_multirun(cfg)
    refuse_missing_gpus(cfg)
    seed_everything(cfg.seed, workers=True, verbose=False)
    OmegaConf.resolve(cfg)  # a spawned process cannot resolve Hydra's interpolations
    output_dir = Path(HydraConfig.get().runtime.output_dir)
    move_into(cfg, output_dir)
    with alone_in(output_dir):
        return _train(cfg, output_dir)


def _train(cfg: DictConfig, output_dir: Path) -> tuple[dict[str, float], GMRDModule]:
    from gmrd.data.build import plain, read_split
    from gmrd.training.callbacks import switched_on
    from gmrd.training.conclusion import Conclusion, measured
    from gmrd.training.remember import remember
    from gmrd.training.resume import checkpoint_to_resume
    from gmrd.training.strategy import passing_sigterm_on
    from gmrd.training.tracking import keep_old_metrics, save_config

    # Build all objects first, so that bad settings are refused before any data is read.
    datamodule = instantiate(cfg.data)
    scored = datamodule.split
    if cfg.evaluation_data:
        scored = read_split(plain(cfg.evaluation_data)).reading(scored.data.intensity)
    conclusion = Conclusion(cfg, scored, output_dir)
    module = construct("model", cfg.model)
    module.configure_optimizers()
    callbacks = [*switched_on(members(cfg, "callbacks"), cfg.trainer), conclusion]
    trainer = construct("trainer", cfg.trainer, callbacks=callbacks, logger=members(cfg, "logger"))
    conclusion.refuse_what_cannot_be_scored()
    remember(cfg, module, datamodule)
    if cfg.compile:
        module.network.compile()
    ckpt_path = checkpoint_to_resume(cfg.ckpt_path, output_dir, module)
    # Not before: a refused command must leave the folder's own configuration.
    save_config(cfg, output_dir)
    keep_old_metrics(output_dir)
    with passing_sigterm_on(trainer):
        trainer.fit(module, datamodule, ckpt_path=ckpt_path, weights_only=True)
    return measured(trainer), module


def members(cfg: DictConfig, group: str) -> list[Any]:
    """The objects of a config group, except those set to null."""
    named = (cfg.get(group) or {}).items()
    return [construct(f"{group}.{name}", of) for name, of in named if of]


@command("train")
def run(cfg: DictConfig) -> float | None:
    """Train once; return the value that sweepers optimise."""
    metrics, _ = train(cfg)
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN and cfg.objective not in metrics:
        known = ", ".join(sorted(metrics))
        if "direction" in hydra.sweeper:
            raise InputError(
                f"the search has no objective: objective={cfg.objective} is none of {known}. "
                "val/ needs trainer.val_check_interval to be at most trainer.max_steps, test/ "
                "needs evaluate=true"
            )
        print(f"note: objective={cfg.objective} is none of {known}")
    return metrics.get(cfg.objective)


def main() -> None:
    """Console entry point; a multirun always ends with a table of its jobs."""
    from gmrd.training.sweep import show_sweep

    try:
        run()
    finally:
        show_sweep()


if __name__ == "__main__":
    main()
