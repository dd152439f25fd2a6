"""The training step, what a checkpoint holds, and what is refused."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from gmrd.checkpoint.load import load_module
from gmrd.errors import InputError
from gmrd.module import GMRDModule
from gmrd.types import Episode

SIZE = 32
NETWORK = {
    "backbone": "resnet18",
    "n_features": 16,
    "n_foreground": 4,
    "n_background": 6,
    "image_size": SIZE,
}


def small_module(**changes: object) -> GMRDModule:
    torch.manual_seed(0)
    settings = {
        "network": NETWORK,
        "loss": {},
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.01},
        "scheduler": {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1, "gamma": 0.5},
    }
    return GMRDModule(**(settings | changes))


def episode(seed: int) -> Episode:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., 8:20, 10:24] = 1
    return Episode(
        support_images=torch.randn(1, 1, SIZE, SIZE, generator=generator) + mask,
        support_masks=mask,
        query_images=torch.randn(1, 1, SIZE, SIZE, generator=generator) + mask,
        query_masks=mask.long(),
    )


def fit(module: GMRDModule, folder: Path, *, steps: int, ckpt_path: Path | None = None) -> Trainer:
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    episodes = DataLoader([episode(i) for i in range(8)], batch_size=None)
    trainer.fit(module, episodes, ckpt_path=ckpt_path, weights_only=True)
    return trainer


def test_a_step_trains_every_parameter_and_the_schedule_follows_steps(tmp_path: Path) -> None:
    module = small_module()
    before = {name: value.clone() for name, value in module.named_parameters()}
    trainer = fit(module, tmp_path, steps=2)
    still = [name for name, value in module.named_parameters() if torch.equal(value, before[name])]
    assert not still
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.01 * 0.5**2)


def test_a_step_draws_what_its_seed_and_number_say(tmp_path: Path) -> None:
    losses = []
    for disturbance in (1, 2):
        module = small_module(seed=7)
        torch.manual_seed(disturbance)
        fit(module, tmp_path, steps=2)
        losses.append([value.clone() for value in module.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*losses, strict=True))


def test_a_checkpoint_rebuilds_the_network(tmp_path: Path) -> None:
    module = small_module()
    fit(module, tmp_path, steps=1).save_checkpoint(tmp_path / "a.ckpt")
    module.eval()
    loaded = load_module(tmp_path / "a.ckpt").eval()
    with torch.inference_mode():
        torch.testing.assert_close(loaded(episode(3)), module(episode(3)), rtol=0, atol=0)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (ran,))

    path = tmp_path / "hostile.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": Hostile()}))
    with pytest.raises(InputError, match=r"hostile\.ckpt is not a checkpoint that can be read"):
        load_module(path)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no checkpoint at"),
        (b"", "not a checkpoint"),
        ({"state_dict": {}}, "gmrd-convert"),
        ({"state_dict": {}, "hyper_parameters": {"network": 3}}, "hyper-parameters"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "x.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=message):
        load_module(path)


def test_a_checkpoint_of_another_shape_names_what_does_not_fit(tmp_path: Path) -> None:
    module = small_module()
    fit(module, tmp_path, steps=1).save_checkpoint(tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    content["hyper_parameters"]["network"]["n_foreground"] = 5
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"(?s)a\.ckpt does not fit.*foreground"):
        load_module(tmp_path / "a.ckpt")


def test_unknown_optimisers_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"model\.optimizer\._target_=torch\.optim\.Sdg cannot be imported"
    ):
        small_module(optimizer={"_target_": "torch.optim.Sdg"}).configure_optimizers()


def test_an_episode_moves_as_one() -> None:
    moved = replace(episode(0), any_empty_support=True).to("meta")
    assert moved.support_images.is_meta
    assert moved.query_masks.is_meta
    assert moved.any_empty_support


CYCLE = {
    "_target_": "torch.optim.lr_scheduler.OneCycleLR",
    "max_lr": 0.01,
    "total_steps": 4,
    "pct_start": 0.5,
}


@pytest.mark.parametrize("scheduler", [CYCLE, None])
def test_a_part_has_a_rate_of_its_own(scheduler: dict[str, object] | None) -> None:
    module = small_module(scheduler=scheduler, rates={"network.encoder": 0.1})
    made = module.configure_optimizers()
    optimizer = made["optimizer"] if isinstance(made, dict) else made
    rest, encoder = optimizer.param_groups
    own = {id(p) for p in module.network.encoder.parameters()}
    assert {id(p) for p in encoder["params"]} == own
    assert len(rest["params"]) + len(own) == len(list(module.parameters()))
    if isinstance(made, dict):
        optimizer.step()
        made["lr_scheduler"]["scheduler"].step()  # type: ignore[union-attr]
    assert rest["lr"] == pytest.approx(0.01)
    assert encoder["lr"] == pytest.approx(0.001)


def test_a_rate_of_no_part_is_refused() -> None:
    with pytest.raises(InputError, match=r"model\.rates\.encoder names no trained parameter"):
        small_module(rates={"encoder": 0.1}).configure_optimizers()


def test_a_metric_from_outside_makes_no_other_variant() -> None:
    module = small_module()
    before = module.variant
    module.hparams["metrics"] = {"hausdorff": {"_target_": "mylab.Hausdorff"}}
    assert module.variant == before
    module.hparams["loss"] = {**module.hparams["loss"], "_target_": "mylab.DiceLoss"}
    assert module.variant == f"{before}, mylab.DiceLoss"
