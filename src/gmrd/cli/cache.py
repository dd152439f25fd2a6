"""gmrd-cache: show or clear what prediction keeps on disk of its supports."""

from __future__ import annotations

from omegaconf import DictConfig
from rich.console import Console

from gmrd.cli.console import command
from gmrd.io.bounded_folder import BoundedFolder
from gmrd.io.cache_dir import default_supports_dir

console = Console()


@command("cache")
def main(cfg: DictConfig) -> None:
    """Console entry point."""
    store = BoundedFolder(default_supports_dir())
    if cfg.delete:
        console.out(
            f"{store.clear()} files deleted from {store.folder}",
            highlight=False,
        )
        return
    n_files, n_bytes = store.size()
    console.out(
        f"{store.folder}: {n_files} files with encoded supports and what they found, "
        f"{n_bytes / 1e6:.0f} MB of at most {store.most_bytes / 1e6:.0f} MB",
        highlight=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
