"""Few-shot segmentation of medical volumes with multiple representative descriptors."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gmrd.errors import InputError
    from gmrd.io.scan import Scan
    from gmrd.predict.options import Options
    from gmrd.predict.project import Project
    from gmrd.predict.result import Segmentation
    from gmrd.predict.segmentation import Predictor, segment

__version__: str
__all__ = ["InputError", "Options", "Predictor", "Project", "Scan", "Segmentation", "segment"]

PLACES = {
    "InputError": "gmrd.errors",
    "Options": "gmrd.predict.options",
    "Predictor": "gmrd.predict.segmentation",
    "Project": "gmrd.predict.project",
    "Scan": "gmrd.io.scan",
    "Segmentation": "gmrd.predict.result",
    "segment": "gmrd.predict.segmentation",
}


def __getattr__(name: str) -> Any:
    """Import prediction, and with it torch, only on demand."""
    if name == "__version__":
        return version("gmrd")
    if name in PLACES:
        return getattr(import_module(PLACES[name]), name)
    raise AttributeError(f"module 'gmrd' has no attribute {name!r}")
