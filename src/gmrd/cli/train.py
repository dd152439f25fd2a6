"""gmrd-train: self-supervised training, then the held-out cases scored."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import LightningModule, Trainer, seed_everything
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException

from gmrd.atomic import replacing
from gmrd.cli.console import command
from gmrd.cli.evaluate import score_fold
from gmrd.cli.sweep import show_sweep
from gmrd.data.scan_record import scan_record
from gmrd.errors import InputError
from gmrd.tracking import CaseRecorder, close, keep_old_metrics, record_checkpoints, record_run


def train(cfg: DictConfig) -> tuple[dict[str, float], dict[str, Any]]:
    """Train as ``cfg`` says and return the metrics and the objects that made them."""
    refuse_ddp_in_multirun(cfg)
    seed_everything(cfg.seed, workers=True, verbose=False)
    output_dir = Path(HydraConfig.get().runtime.output_dir)
    save_config(cfg, output_dir)
    ckpt_path = checkpoint_to_resume(cfg.ckpt_path, output_dir)
    datamodule = instantiate(cfg.data)
    scored = instantiate(cfg.evaluation_data) if cfg.evaluation_data else datamodule
    module = instantiate(cfg.model)
    module.hparams["scans"] = scan_record(datamodule)
    if cfg.compile:
        module.network.compile()
    keep_old_metrics(output_dir)
    trainer = instantiate(
        cfg.trainer,
        callbacks=[instantiate(callback) for callback in cfg.callbacks.values() if callback],
        logger=[instantiate(logger) for logger in cfg.logger.values() if logger],
    )
    try:
        record_run(trainer.loggers, cfg, datamodule)
        trainer.fit(module, datamodule, ckpt_path=ckpt_path, weights_only=True)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if cfg.evaluate and trainer.is_global_zero:
            choose_weights(cfg.evaluation.weights, trainer, module)
            recorder = CaseRecorder(scored.classes)
            metrics |= score_fold(
                module, scored, cfg.evaluation, output_dir,
                watch=recorder.add, also_about={"trained_on": datamodule.name},
            )  # fmt: skip
            recorder.record(trainer.loggers, metrics, trainer.global_step)
        record_checkpoints(trainer.loggers, output_dir / "checkpoints", metrics)
    except SIGTERMException as terminated:  # saved by gmrd.callbacks.SaveLast
        raise SystemExit(128 + signal.SIGTERM) from terminated
    finally:
        close(trainer.loggers)
    objects = {"cfg": cfg, "datamodule": datamodule, "module": module, "trainer": trainer}
    return metrics, objects


def refuse_ddp_in_multirun(cfg: DictConfig) -> None:
    """Refuse a multirun whose jobs share a process and start their own DDP processes.

    Lightning starts the other ranks by running the same command again, which would be a whole
    multirun in every rank.

    Raises:
        InputError: with the ways to do it.
    """
    hydra = HydraConfig.get()
    launcher = hydra.launcher.get("_target_", "")
    in_process = "submitit_launcher.SlurmLauncher" not in launcher
    restarts = cfg.trainer.get("strategy") in (
        "ddp", "fsdp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false",
    ) or str(OmegaConf.select(cfg, "trainer.strategy._target_", default="")).endswith(
        ("DDPStrategy", "FSDPStrategy")
    )  # fmt: skip
    if hydra.mode == RunMode.MULTIRUN and in_process and (restarts or _auto_ddp(cfg)):
        raise InputError(
            "--multirun with trainer.strategy=ddp or fsdp would start a multirun in every process. "
            "Use trainer.strategy=ddp_spawn, one device a job (trainer.devices=1), "
            "hydra/launcher=submitit_slurm, or gmrd-crossval, which starts every training as a "
            "command of its own"
        )


def _auto_ddp(cfg: DictConfig) -> bool:
    """Whether ``strategy: auto`` will mean DDP."""
    devices = cfg.trainer.get("devices", 1)
    if isinstance(devices, str) and "," in devices:
        devices = [number for number in devices.split(",") if number.strip()]
    if not isinstance(devices, (int, str)):
        devices = len(devices)
    if str(devices) in ("auto", "-1"):
        devices = torch.cuda.device_count()
    several = int(devices) * int(cfg.trainer.get("num_nodes", 1)) > 1
    return cfg.trainer.get("strategy", "auto") == "auto" and several


@rank_zero_only
def save_config(cfg: DictConfig, output_dir: Path) -> None:
    """Write the resolved configuration beside what it produces."""
    with replacing(output_dir / "config.yaml") as temporary:
        OmegaConf.save(cfg, temporary, resolve=True)


def checkpoint_to_resume(ckpt_path: str | None, output_dir: Path) -> Path | None:
    """The checkpoint to go on from: a given file, or with ``auto`` this run's last one, if any.

    Raises:
        InputError: the given file does not exist.
    """
    if ckpt_path is None:
        return None
    if ckpt_path == "auto":
        last = output_dir / "checkpoints" / "last.ckpt"
        return last if last.is_file() else None
    if not Path(ckpt_path).is_file():
        raise InputError(f"ckpt_path={ckpt_path}: there is no such checkpoint to resume from")
    return Path(ckpt_path)


def choose_weights(which: str, trainer: Trainer, module: LightningModule) -> None:
    """Leave the last weights in place, or load those that validated best.

    Raises:
        InputError: ``best`` is asked for and no validation took place, or another word is given.
    """
    if which == "last":
        return
    if which != "best":
        raise InputError(f"evaluation.weights={which} is neither last nor best")
    saved = (getattr(callback, "best_model_path", "") for callback in _monitoring(trainer))
    path = next((found for found in saved if found), None)
    if path is None:
        raise InputError(
            "evaluation.weights=best, but no validation took place: lower "
            "trainer.val_check_interval below trainer.max_steps, or use evaluation.weights=last"
        )
    module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])


def _monitoring(trainer: Trainer) -> list[Any]:
    return [c for c in trainer.checkpoint_callbacks if getattr(c, "monitor", None)]


@command("train")
def run(cfg: DictConfig) -> float | None:
    """One training; returns what sweepers optimise."""
    metrics, _ = train(cfg)
    return metrics.get(cfg.objective)


def main() -> None:
    """Console entry point; a multirun ends with the table of its jobs, whatever became of them."""
    try:
        run()
    finally:
        show_sweep()


if __name__ == "__main__":
    main()
