"""``gmrd-demo`` on phantoms of 12 slices of 64 × 64 pixels: it matches them in a few seconds."""

from __future__ import annotations

from functools import partial

from gmrd.cli.demo import main
from gmrd.data import phantom

if __name__ == "__main__":
    phantom.make_phantom = partial(phantom.make_phantom, size=64, n_slices=12)
    main()
