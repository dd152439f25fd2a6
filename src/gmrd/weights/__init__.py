"""The packaged network: small, and trained on phantoms only, for notebooks and tests.

Weights trained on a challenge's data are subject to that data's licence and are not packaged.
"""

from __future__ import annotations

from pathlib import Path


def packaged() -> Path:
    """The checkpoint of the packaged network."""
    return Path(__file__).parent / "phantom.pt"
