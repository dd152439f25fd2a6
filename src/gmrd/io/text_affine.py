"""The affine from the fields of a NRRD or MetaImage header."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gmrd.errors import InputError
from gmrd.io.affine import LPS_TO_RAS, refuse_unplaceable
from gmrd.io.text_header import TextFormat

Affine = Float[np.ndarray, "4 4"]
Fields = Mapping[str, str]

SPACES = {"right-anterior-superior": "RAS", "left-anterior-superior": "LAS",
          "left-posterior-superior": "LPS"}  # fmt: skip
"""NRRD's names of world axis directions."""

VECTOR = re.compile(r"\(([^()]*)\)")

OFFSETS = ("offset", "position", "origin")
MATRICES = ("transformmatrix", "rotation", "orientation")
SIZES = ("elementspacing", "elementsize")
"""MetaImage's synonyms of offset, direction matrix and voxel size; the first present is used."""


def text_affine(path: Path, kind: TextFormat, fields: Fields) -> Affine:
    """Voxel (x, y, z) to world millimetres, right-anterior-superior.

    Raises:
        InputError: the voxel size is missing, or the affine is refused.
    """
    affine = _nrrd(path, fields) if kind == "nrrd" else _metaimage(path, fields)
    refuse_unplaceable(path, affine)
    return affine


def _metaimage(path: Path, fields: Fields) -> Affine:
    def numbers(names: tuple[str, ...], n: int, default: str) -> Float[np.ndarray, " n"]:
        name = next((name for name in names if name in fields), names[0])
        return _numbers(path, name, fields.get(name, default), n)

    affine = np.eye(4)
    # Each row of the matrix is the direction of an axis.
    affine[:3, :3] = numbers(MATRICES, 9, "1 0 0 0 1 0 0 0 1").reshape(3, 3).T
    affine[:3, :3] *= _sizes(path, numbers(SIZES, 3, ""))
    affine[:3, 3] = numbers(OFFSETS, 3, "0 0 0")
    return LPS_TO_RAS @ affine


def _nrrd(path: Path, fields: Fields) -> Affine:
    affine = np.eye(4)
    if "space directions" in fields:
        vectors = VECTOR.findall(fields["space directions"])
        given = " ".join(vectors).replace(",", " ")
        affine[:3, :3] = _numbers(path, "space directions", given, 9).reshape(3, 3).T
    else:
        spacings = _numbers(path, "spacings", fields.get("spacings", ""), 3)
        affine[:3, :3] *= _sizes(path, spacings)
    origin = fields.get("space origin", "(0,0,0)").strip("()").replace(",", " ")
    affine[:3, 3] = _numbers(path, "space origin", origin, 3)
    return np.diag([*_signs(path, fields), 1.0]) @ affine


def _signs(path: Path, fields: Fields) -> list[float]:
    """Signs that turn the world axes to RAS; without a space field they are LPS."""
    name = fields.get("space", "LPS")
    codes = SPACES.get(name.lower(), name.upper())
    if codes not in SPACES.values():
        raise InputError(f"{path}: space is {name[:40]!r}: expected one of {', '.join(SPACES)}")
    return [1.0 if code == own else -1.0 for code, own in zip(codes, "RAS", strict=True)]


def _sizes(path: Path, sizes: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    if sizes.min() <= 0:
        raise InputError(f"{path} gives voxels of {sizes.tolist()} mm: sizes must be above 0")
    return sizes


def _numbers(path: Path, name: str, text: str, n: int) -> Float[np.ndarray, " n"]:
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError:
        values = np.zeros(0)
    if len(values) != n or not np.isfinite(values).all():
        raise InputError(
            f"{path}: {name} is {text[:80]!r}: expected {n} finite numbers, which the volume's "
            "geometry needs. Write the file again"
        )
    return values
