"""What the suite shares: where real volumes are, and a small phantom data set."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from helpers.commands import TINY, Command, RunHere, Train, environment
from helpers.scans import affine, ball, write
from helpers.warm import Warm

# Not torch, nor what imports it: the process that only hands tests to workers reads this, too.
if TYPE_CHECKING:
    from gmrd.module import GMRDModule
    from gmrd.nn import GMRD

# The same examples every time, on a machine that may be busy with something else.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


LONGEST = (
    "test_documented_commands.py", "test_ddp.py", "test_train.py", "test_notebooks.py",
    "test_sweep.py", "test_demo.py", "test_predict.py",
)  # fmt: skip
"""The longest modules: run first, so that none is left to one worker at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is loaded with the test modules stays: no collector of garbage looks through it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """As in the commands that tests start: trainings are compared with theirs bit for bit."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _heeded_interrupts() -> Iterator[None]:
    """SIGINT interrupts a test and the commands that it starts, however the suite was started.

    ``nohup`` and a shell's ``&`` leave it ignored, and a child inherits that; a handler it does
    not inherit, so it begins with the default.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _real(folder: str) -> Path:
    root = os.environ.get("GMRD_TEST_DATA")
    if not root:
        pytest.skip("real volumes: set GMRD_TEST_DATA to the folder of CHAOST2 and CHAOS_CT")
    path = Path(root) / folder
    if not path.is_dir():
        pytest.skip(f"real volumes: {path} does not exist")
    return path


@pytest.fixture(scope="session")
def chaost2() -> Path:
    """The prepared CHAOST2 volumes."""
    return _real("CHAOST2")


@pytest.fixture(scope="session")
def chaos_ct() -> Path:
    """The raw CT series with its masks."""
    return _real("CHAOS_CT")


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a phantom data set of six small cases."""
    from gmrd.data.phantom import make_phantom

    root = tmp_path_factory.mktemp("phantom")
    make_phantom(root, n_cases=6, seed=0, size=64)
    return root


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunHere]:
    """Runs ``gmrd-name *overrides`` in this process and an empty folder; returns its status.

    Hydra gives the root logger a handler on a file of every run's folder. They are closed and
    taken back with the test, as is its folder: what a later test logs must not go there.
    """
    from hydra.core.global_hydra import GlobalHydra

    monkeypatch.chdir(tmp_path)
    handlers, level = logging.root.handlers[:], logging.root.level

    def run(name: str, *overrides: str) -> int | str:
        monkeypatch.setattr("sys.argv", [f"gmrd-{name}", *overrides])
        GlobalHydra.instance().clear()
        try:
            importlib.import_module(f"gmrd.cli.{name}").main()
        except SystemExit as ended:
            return ended.code or 0
        return 0

    yield run
    for handler in set(logging.root.handlers) - set(handlers):
        handler.close()
    logging.root.handlers[:], logging.root.level = handlers, level
    GlobalHydra.instance().clear()


@pytest.fixture(scope="session")
def module() -> GMRDModule:
    """An untrained network small enough for any test."""
    import torch

    from gmrd.module import GMRDModule

    torch.manual_seed(0)
    return GMRDModule(
        network={
            "backbone": "resnet18",
            "n_features": 16,
            "n_foreground": 4,
            "n_background": 6,
            "image_size": 32,
            "activation": "relu",
        },
        loss={},
        optimizer={"_target_": "torch.optim.SGD", "lr": 0.1},
        scheduler={"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1},
    )


@pytest.fixture(scope="session")
def public_network() -> Callable[..., GMRD]:
    """Builds a small network with all the parts of the public research code's."""
    import torch

    from gmrd.nn import build_network

    def build(*, activation: str = "relu", with_threshold: bool = True) -> GMRD:
        torch.manual_seed(0)
        return build_network(
            backbone="resnet50",
            n_features=8,
            n_foreground=3,
            n_background=4,
            image_size=32,
            activation=activation,
            with_threshold=with_threshold,
        )

    return build


@pytest.fixture(scope="session")
def checkpoint(module: GMRDModule, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its checkpoint."""
    import torch

    path = tmp_path_factory.mktemp("checkpoint") / "untrained.ckpt"
    content = {"hyper_parameters": dict(module.hparams), "state_dict": module.state_dict()}
    torch.save(content, path)
    return path


@pytest.fixture(scope="session")
def tiny(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Overrides of a tiny training on the phantom."""
    cache = tmp_path_factory.mktemp("cache")
    return (*TINY, f"data.root={phantom}", f"data.cache_dir={cache}")


@pytest.fixture(scope="session")
def train(tiny: tuple[str, ...]) -> Train:
    """Trains in this process: ``train(folder, *overrides)``."""
    from hydra import compose, initialize_config_module
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    from gmrd.cli.train import train as train_cfg

    def run(folder: Path, *overrides: str) -> tuple[dict[str, float], GMRDModule]:
        folder.mkdir(parents=True, exist_ok=True)
        with initialize_config_module("gmrd.conf", version_base="1.3"):
            cfg = compose("train", overrides=[*tiny, *overrides], return_hydra_config=True)
        with open_dict(cfg):
            cfg.hydra.runtime.output_dir = str(folder)
            cfg.hydra.mode = "RUN"
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg.hydra
        return train_cfg(cfg)

    return run


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Starts commands with the libraries already loaded."""
    started = Warm()
    yield started
    started.end()


@pytest.fixture
def command(tiny: tuple[str, ...], tmp_path: Path, warm: Warm) -> Command:
    """Runs ``python -m module *overrides`` in an empty folder, with extra modules on the path."""

    def run(module: str, *overrides: str, **variables: str) -> subprocess.CompletedProcess[str]:
        env = environment(**{"PYTHONPATH": str(tmp_path), **variables})
        return warm.run(module, *tiny, *overrides, cwd=tmp_path, env=env)

    return run


@pytest.fixture
def support(tmp_path: Path) -> tuple[Path, Path]:
    image, label = ball(1)
    folder = tmp_path / "support"
    folder.mkdir()
    return (
        write(folder / "a.nii.gz", image, affine()),
        write(folder / "a_seg.nii.gz", label, affine()),
    )
