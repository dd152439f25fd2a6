"""Peak memory and time of gmrd-predict for a scan of 512x512x800 voxels with four organs.

    python bench/large_scan.py --root CHAOST2
    python bench/large_scan.py --root CHAOST2 --support same     # a support of the same size

CHAOST2's case 8, doubled in plane and mirrored across slices until it is 640 mm long, is segmented
from case 39 (36 slices, or made as large). The cache of supports is empty at the start.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np

QUERY, SUPPORT = 8, 39
SIDE, SLICES, THICKNESS = 512, 800, 0.8

PREDICT = "from gmrd.cli.predict import main; main()"
ORGANS = "names={1:liver,2:right_kidney,3:left_kidney,4:spleen}"


def enlarge(source: Path, out: Path) -> None:
    """Write a volume with 512x512x800 voxels, by the nearest ones of the original."""
    image = nibabel.load(source)
    voxels = np.asarray(image.dataobj)
    mirrored = np.concatenate([voxels, voxels[:, :, ::-1]], axis=2)
    millimetres = np.arange(SLICES) * THICKNESS
    slices = (millimetres / image.header.get_zooms()[2]).astype(int) % mirrored.shape[2]
    rows, columns = (np.arange(SIDE) * n // SIDE for n in voxels.shape[:2])
    large = mirrored[rows][:, columns][:, :, slices]
    affine = image.affine.copy()
    affine[:3, :3] *= [voxels.shape[0] / SIDE, voxels.shape[1] / SIDE, 1.0]
    affine[:3, 2] *= THICKNESS / image.header.get_zooms()[2]
    nibabel.save(nibabel.Nifti1Image(large, affine), out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--support", choices=("thin", "same"), default="thin")
    options = parser.parse_args()
    data = options.root / "chaos_MR_T2_normalized"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        query = folder / "query.nii.gz"
        enlarge(data / f"image_{QUERY}.nii.gz", query)
        support, label = data / f"image_{SUPPORT}.nii.gz", data / f"label_{SUPPORT}.nii.gz"
        if options.support == "same":
            for file in (support, label):
                enlarge(file, folder / file.name)
            support, label = folder / support.name, folder / label.name
        start = time.monotonic()
        subprocess.run(
            [
                sys.executable, "-c", PREDICT, f"query={query}", f"support.image={support}",
                f"support.label={label}", ORGANS, f"out={folder / 'out'}",
            ],
            env={**os.environ, "GMRD_CACHE": str(folder / "cache")}, check=True,
        )  # fmt: skip
        took, used = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{SIDE}x{SIDE}x{SLICES} voxels, {options.support} support: peak "
        f"{used.ru_maxrss / 1e6:.2f} GB, CPU {used.ru_utime + used.ru_stime:.0f} s, "
        f"wall {took:.0f} s"
    )


if __name__ == "__main__":
    main()
