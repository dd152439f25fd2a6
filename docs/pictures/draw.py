"""Draw the pictures of the concepts from a phantom: ``make pictures``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from gmrd.data.phantom import make_phantom
from gmrd.data.protocol import fold_cases
from gmrd.io.readers import read_label, read_scan
from gmrd.supervoxels import pseudo_labels

HERE = Path(__file__).parent
N_CASES, N_FOLDS = 15, 5
SIZES = (50, 500, 5000)
LIVER = 1


def folds(axes: Axes) -> None:
    """Which case each fold tests, and which of them is its support."""
    ids = [str(case) for case in range(1, N_CASES + 1)]
    for row in range(N_FOLDS):
        members = fold_cases(ids, row, n_folds=N_FOLDS)
        for column, case in enumerate(ids):
            role = "S" if case == members[-1] else "Q" if case in members else ""
            colour = {"S": "#e69f00", "Q": "#009e73", "": "#eeeeee"}[role]
            axes.add_patch(plt.Rectangle((column, row), 0.92, 0.9, color=colour))
            axes.text(column + 0.46, row + 0.47, role, ha="center", va="center", color="white")
    axes.set(xlim=(0, N_CASES), ylim=(N_FOLDS, 0), xlabel="case")
    axes.set_xticks(np.arange(N_CASES) + 0.46, ids)
    axes.set_yticks(np.arange(N_FOLDS) + 0.46, [f"fold {row}" for row in range(N_FOLDS)])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def chunks(image: np.ndarray, organ: np.ndarray) -> plt.Figure:
    """The organ's slices of a scan in three parts, and the middle slice of each, annotated."""
    held = np.flatnonzero(organ.any(axis=(1, 2)))
    parts = np.array_split(held, 3)
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
    for axis, part in zip(axes, parts, strict=True):
        middle = part[len(part) // 2]
        axis.imshow(image[middle], cmap="gray")
        axis.contour(organ[middle], levels=[0.5], colors="#e69f00", linewidths=2)
        axis.set_title(f"slice {middle}, for slices {part[0]} to {part[-1]}")
        axis.set_axis_off()
    return figure


def sizes(image: np.ndarray, organ: np.ndarray, spacing: tuple[float, float, float]) -> plt.Figure:
    """Supervoxels of three least sizes, coloured at random, with the organ's outline."""
    middle = int(np.median(np.flatnonzero(organ.any(axis=(1, 2)))))
    figure, axes = plt.subplots(1, len(SIZES), figsize=(9, 3.4), layout="constrained")
    for axis, size in zip(axes, SIZES, strict=True):
        labels = pseudo_labels(image, spacing=spacing, min_size=size)
        colours = np.random.default_rng(0).uniform(0.2, 1, (labels.max() + 1, 3))
        colours[0] = 0
        axis.imshow(colours[labels[middle]])
        axis.contour(organ[middle], levels=[0.5], colors="white", linewidths=2)
        axis.set_title(f"min_size={size}: {labels.max()} supervoxels")
        axis.set_axis_off()
    return figure


def save(figure: plt.Figure, name: str) -> None:
    """Write a picture beside this file."""
    figure.savefig(HERE / f"{name}.png", dpi=90)
    plt.close(figure)


def main() -> None:
    """Draw all of them."""
    figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
    folds(axes)
    save(figure, "folds")
    with tempfile.TemporaryDirectory() as place:
        folder = make_phantom(Path(place), n_cases=1, seed=0, size=128)
        scan = read_scan(folder / "image_1.nii.gz")
        organ = read_label(folder / "label_1.nii.gz", scan) == LIVER
    save(chunks(scan.image, organ), "chunks")
    save(sizes(scan.image, organ, scan.spacing), "min_size")


if __name__ == "__main__":
    main()
