"""Without an extra a command says which one to install; never a traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gmrd.cli.misspelt import explained
from helpers.commands import RunHere
from helpers.ports import free_port


@pytest.mark.parametrize(
    ("package", "command", "extra"),
    [
        ("gradio", ["app"], "app"),
        ("wandb_workspaces", ["dashboard", "entity=me"], "dashboard"),
        ("pydicom", ["predict", "query=series", "out=out"], "dicom"),
        ("onnx", ["export", "format=onnx", "out=x.onnx"], "export"),
        ("distributed", ["supervoxels", "workers=dask", "workers.scheduler=tcp://x:1"], "dask"),
    ],
)
def test_an_absent_extra_is_named(
    package: str,
    command: list[str],
    extra: str,
    run_here: RunHere,
    checkpoint: Path,
    phantom: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scans = phantom / "phantom_normalized"
    needed = {
        "app": [f"port={free_port()}"],
        "predict": [
            f"support.image={scans}/image_1.nii.gz",
            f"support.label={scans}/label_1.nii.gz",
        ],
        "export": [f"ckpt_path={checkpoint}"],
        "supervoxels": [f"images={scans}", "out=supervoxels"],
    }
    Path("series").mkdir()
    Path("series", "1.dcm").write_bytes(bytes(128) + b"DICM")
    # With the modules that an earlier test has imported: these are found without their package.
    loaded = [name for name in sys.modules if name.startswith(f"{package}.")]
    for name in (package, *loaded):
        monkeypatch.setitem(sys.modules, name, None)
    assert run_here(*command, *needed.get(command[0], ())) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"pip install 'gmrd[{extra}]'" in said
    assert "Traceback" not in said


def test_an_absent_launcher_is_named() -> None:
    """Hydra finds no file for it, which is how the launchers of the extra announce themselves."""
    error = Exception("In 'hydra/config': Could not find 'hydra/launcher/joblib'")
    assert explained(error, "train", ["hydra/launcher=joblib"]) == (
        "hydra/launcher=joblib is not installed: pip install 'gmrd[sweep]'"
    )
