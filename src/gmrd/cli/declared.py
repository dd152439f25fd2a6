"""The types of every command's keys, checked before a command touches any data.

Objects in a configuration (``_target_``) declare their arguments by their signatures; data sets
and prediction's records, by their fields. The tables here declare the plain keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_type_hints

from omegaconf import DictConfig, OmegaConf

from gmrd.values.arguments import Part
from gmrd.values.fit import fitted
from gmrd.values.kinds import Count, Natural, NonNegative, Positive, Seed, Such, Within, Workers

Kinds = dict[str, Any]

PART = Annotated[Mapping[str, Any], Part()]
MODULE = Annotated[Mapping[str, Any], Part("gmrd.module.GMRDModule")]
TRAINER = Annotated[
    Mapping[str, Any],
    Part(
        limits={
            "accumulate_grad_batches": Count,
            "check_val_every_n_epoch": Count | None,
            "log_every_n_steps": Count,
            "val_check_interval": Positive | str | None,
        }
    ),
]
"""Lightning accepts 0 for these, and then divides by it."""

PACKAGES = Sequence[str]
FILE = Annotated[
    str | int | float,
    Such("a file or folder", lambda name: not isinstance(name, bool) and name != ""),
]
"""Not empty: an unset variable of the shell would otherwise stand for the current folder."""

PLACE = Annotated[str, Such("a file or folder", bool)]
"""The same, for keys whose value must be text."""


def fitted_keys(command: str, cfg: DictConfig) -> Kinds:
    """The configuration of ``gmrd-COMMAND``, converted to the declared types.

    Raises:
        InputError: a key is unknown, or its value is not of the declared type.
        MissingMandatoryValue: a required key is not set.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    # Single values first, the model last: sections refer to the former, and the model to sections,
    # and the message must name what was given.
    ordered = dict(
        sorted(plain.items(), key=lambda item: (isinstance(item[1], Mapping), item[0] == "model"))
    )
    found: Kinds = fitted("", ordered, DECLARED[command]())
    return found


def _data() -> Any:
    from gmrd.data.build import Section

    return Annotated[Mapping[str, Any], Section()]


def _evaluation() -> Kinds:
    from gmrd.evaluation.settings import EvaluationSettings

    return get_type_hints(EvaluationSettings, include_extras=True)


def _options() -> Any:
    from gmrd.predict.options import Options

    return Options


def train() -> Kinds:
    """Of gmrd-train."""
    return {
        "data": _data(),
        "evaluation_data": _data() | None,
        "model": MODULE,
        "trainer": TRAINER,
        "logger": Mapping[str, PART | None] | None,
        "callbacks": Mapping[str, PART | None] | None,
        "evaluation": {**_evaluation(), "weights": Literal["last", "best"]},
        "name": str,
        "fold": Natural,
        "setting": Literal[1, 2],
        "seed": Seed,
        "ckpt_path": PLACE | None,
        "compile": bool,
        "objective": str,
        "evaluate": bool,
        "output_dir": str | None,
    }


def crossval() -> Kinds:
    """Of gmrd-crossval."""
    return train() | {
        "folds": Sequence[Natural],
        "seeds": Sequence[Seed],
        "groups": Sequence[Natural] | None,
        "collect": FILE | None,
        "n_jobs": Count,
        "devices": Sequence[Natural] | None,
        "page": bool,
        "out": FILE,
    }


def demo() -> Kinds:
    """Of gmrd-demo."""
    return train() | {
        "out": FILE,
        "n_cases": Annotated[int, Within(4)],
        "size": Annotated[int, Within(32)],
    }


def evaluate() -> Kinds:
    """Of gmrd-evaluate."""
    return _evaluation() | {
        "data": _data(),
        "ckpt_path": FILE,
        "allow": PACKAGES,
        "name": str,
        "fold": Natural,
        "setting": Literal[1, 2],
        "seed": Seed,
    }


def predict() -> Kinds:
    """Of gmrd-predict."""
    from gmrd.predict.settings import Settings

    scans = FILE | Sequence[FILE]
    return get_type_hints(Settings, include_extras=True) | {
        "allow": PACKAGES,
        "support": {"image": scans, "label": scans},
        "query": scans,
        "out": FILE,
        "again": bool,
    }


def project() -> Kinds:
    """Of gmrd-project."""
    scans = FILE | Sequence[FILE] | None
    return predict() | {
        "folder": FILE,
        "run": bool,
        "support": {"image": scans, "label": scans},
        "query": scans,
        "out": FILE | None,
    }


def app() -> Kinds:
    """Of gmrd-app."""
    return {
        "ckpt_path": PLACE | None,
        "allow": PACKAGES,
        "host": str,
        "port": Annotated[int, Within(1, 65535)],
        "max_megabytes": Positive,
        "options": _options(),
    }


def cache() -> Kinds:
    """Of gmrd-cache."""
    return {"delete": bool}


def prepare() -> Kinds:
    """Of gmrd-prepare."""
    return {"data": _data(), "source": PLACE, "root": PLACE, "n_jobs": Workers}


def inspect() -> Kinds:
    """Of gmrd-inspect."""
    return {"data": _data(), "sheet": PLACE | None, "n_jobs": Workers}


def supervoxels() -> Kinds:
    """Of gmrd-supervoxels."""
    return {
        "data": _data(),
        "workers": {
            "backend": Literal["loky", "threading", "multiprocessing", "sequential", "dask"],
            "n_jobs": Workers,
            "scheduler": str | None,
        },
        "images": PLACE | None,
        "image_pattern": str,
        "out": PLACE | None,
        "out_pattern": str,
        "min_size": Count | None,
        "scale": NonNegative | None,
        "sigma": NonNegative | None,
        "overwrite": bool,
        "overlays": PLACE | None,
    }


def convert() -> Kinds:
    """Of gmrd-convert."""
    return {
        "model": MODULE,
        "source": PLACE,
        "allow": PACKAGES,
        "out": PLACE,
        "to": Literal["gmrd", "public"],
        "seed": Seed,
    }


def export() -> Kinds:
    """Of gmrd-export."""
    return {
        "ckpt_path": PLACE,
        "allow": PACKAGES,
        "format": Literal["checkpoint", "torch", "onnx"],
        "out": PLACE,
    }


def dashboard() -> Kinds:
    """Of gmrd-dashboard."""
    return {"entity": str | None, "project": str, "name": str, "organs": Sequence[str]}


DECLARED: Mapping[str, Callable[[], Kinds]] = {
    made.__name__: made
    for made in (
        train, crossval, demo, evaluate, predict, project, app, cache, prepare, inspect,
        supervoxels, convert, export, dashboard,
    )
}  # fmt: skip
"""Makes the table of each command on demand, because some imports are slow."""
