"""Few-shot segmentation of medical volumes with multiple representative descriptors."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gmrd.errors import InputError
    from gmrd.predict.options import Options
    from gmrd.predict.result import Segmentation
    from gmrd.predict.segmentation import Predictor, segment

__version__: str
__all__ = ["InputError", "Options", "Predictor", "Segmentation", "segment"]


def __getattr__(name: str) -> Any:
    """Load prediction, and with it torch, only when it is asked for."""
    if name == "__version__":
        return version("gmrd")
    if name in __all__:
        from gmrd.predict import segmentation

        return getattr(segmentation, name)
    raise AttributeError(f"module 'gmrd' has no attribute {name!r}")
