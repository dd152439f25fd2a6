"""The network that comes with the package: small, and trained on phantoms only.

Its purpose is that ``gmrd-predict`` gives something out of the box. Weights trained on CHAOS or
another set carry that set's licence and are not shipped.
"""

from __future__ import annotations

from pathlib import Path

PHANTOM = "packaged phantom network"
"""What results call it."""


def packaged() -> Path:
    """The checkpoint's file."""
    return Path(__file__).parent / "phantom.pt"
