"""Scans that are damaged, hostile or merely odd, by format: what is refused, and what is right.

Every file is made from the same small scan. Where ``says`` is given, reading is refused with those
words; else it gives the scan's voxels at the scan's place.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1

from helpers.scans import affine, ball
from helpers.series import write_series

Make = Callable[[Path], Path]


@dataclass(frozen=True)
class Odd:
    """One file or folder.

    Attributes:
        kind: the format.
        name: what is odd about it.
        make: writes it into an empty folder.
        says: pattern of the refusal; None if it is to be read.
        spacing: of the scan that it is to be read as, (z, y, x) in mm.
    """

    kind: str
    name: str
    make: Make
    says: str | None = None
    spacing: tuple[float, float, float] = (5.0, 2.0, 2.0)

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def voxels() -> np.ndarray:
    """The scan, (z, y, x), of whole numbers."""
    return ball(1)[0].round()


def odd_files() -> list[Odd]:
    """All of them."""
    return [*nifti(), *text_formats(), *archives(), *dicom(), *others()]


# NIfTI


def image_of(array: np.ndarray | None = None, container: type = nib.Nifti1Image) -> Any:
    array = voxels().astype(np.int16) if array is None else array
    if array.ndim == 3:
        array = array.transpose(2, 1, 0)
    made = container(array, affine(), dtype=array.dtype)
    made.set_qform(affine(), code=1)
    made.set_sform(affine(), code=1)
    return made


def saved(image: Any, name: str = "scan.nii") -> Make:
    def make(folder: Path) -> Path:
        nib.save(image, folder / name)
        return folder / name

    return make


def raw(image: Any = None) -> bytearray:
    return bytearray((image_of() if image is None else image).to_bytes())


def content(data: bytes, name: str = "scan.nii") -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def later(data: Callable[[], bytes], name: str) -> Make:
    """Large files, made when they are needed."""
    return lambda folder: content(data(), name)(folder)


def patched(*changes: tuple[int, str, tuple[float, ...]], image: Any = None) -> Make:
    """The file with values of its header replaced: offset, struct format, values."""
    data = raw(image)
    for offset, form, values in changes:
        struct.pack_into(form, data, offset, *values)
    return content(bytes(data))


def swapped() -> Any:
    image = image_of()
    made = nib.Nifti1Image(image.dataobj, None, image.header.as_byteswapped(">"))
    return made


def nifti() -> Iterator[Odd]:
    nan, inf = float("nan"), float("inf")
    lies = {
        "huge": ((42, "<3h", (32767, 32767, 32767)), "more than the"),
        "negative size": ((42, "<3h", (-5, 40, 12)), "damaged"),
        "size 0": ((42, "<3h", (0, 40, 12)), "damaged"),
        "more than it holds": ((42, "<3h", (440, 400, 120)), "more than the file can hold"),
        "99 dimensions": ((40, "<h", (99,)), "99 dimensions|cannot be read"),
        "0 dimensions": ((40, "<h", (0,)), "0 dimensions"),
        "two dimensions": ((40, "<h", (2,)), "three dimensions|after the voxels"),
        "colours": ((70, "<h", (128,)), "not a real number type"),
        "complex": ((70, "<h", (32,)), "not a real number type"),
        "unknown type": ((70, "<h", (999,)), "not a real number type"),
        "type 0": ((70, "<h", (0,)), "not a real number type"),
        "offset far": ((108, "<f", (1e12,)), "more than the file can hold"),
        "offset NaN": ((108, "<f", (nan,)), "more than the file can hold"),
        "offset negative": ((108, "<f", (-8.0,)), "more than the file can hold"),
        "pair of files": ((344, "<4s", (b"ni1\0",)), "single-file"),
        "no magic": ((344, "<4s", (b"XXXX",)), "single-file"),
        "sform NaN": ((280, "<4f", (nan,) * 4), "singular or not finite"),
        "sform infinite": ((280, "<4f", (inf,) * 4), "singular or not finite"),
        "sform singular": ((280, "<4f", (0.0,) * 4), "singular or not finite"),
        "sform flat": ((280, "<8f", (2.0, 0, 0, 0, 2.0, 0, 0, 0)), "singular or not finite"),
        "slope NaN": ((112, "<2f", (nan, 0)), None),  # nibabel's rule: NaN is no scaling
        "slope infinite": ((112, "<2f", (inf, 0)), None),
        "intercept infinite": ((112, "<2f", (1, inf)), "cannot be read|NaN or infinite"),
        "slope 0": ((112, "<2f", (0, 5)), None),
        "qfac 5": ((76, "<f", (5.0,)), None),
        "qform code unknown": ((252, "<h", (77,)), None),
        "units unknown": ((123, "<B", (7,)), "unit|cannot be read"),
    }
    for name, (change, says) in lies.items():
        yield Odd("NIfTI", name, patched(change), says)
    no_sform = (254, "<h", (0,))
    for name, values in {"pixdim NaN": (nan,) * 3, "pixdim 0": (0.0, 2.0, 5.0)}.items():
        yield Odd("NIfTI", name, patched(no_sform, (80, "<3f", values)), "no sform")
    yield Odd("NIfTI", "quaternion NaN", patched(no_sform, (256, "<3f", (nan,) * 3)), "cannot be re"
              "ad|singular or not finite")  # fmt: skip
    yield Odd("NIfTI", "qform alone", patched(no_sform))
    three = np.diag([3.0, 3.0, 3.0, 1.0])
    hidden = image_of()
    hidden.set_sform(three, code=2)
    hidden.set_qform(None, code=0)
    hidden.header["pixdim"][1:4] = 1
    yield Odd("NIfTI", "sform against pixdim", saved(hidden), spacing=(3.0, 3.0, 3.0))
    for unit, mm in {"meter": 1000.0, "micron": 0.001}.items():
        other = nib.Nifti1Image(image_of().dataobj, np.diag([1 / mm, 1 / mm, 1 / mm, 1]) @ affine())
        other.header.set_xyzt_units(unit)
        yield Odd("NIfTI", f"in {unit}s", saved(other))
    metres = image_of()
    metres.header.set_xyzt_units("meter")
    yield Odd("NIfTI", "millimetres called metres", saved(metres), "implausible")
    yield Odd("NIfTI", "other byte order", saved(swapped()))
    yield Odd("NIfTI", "NIfTI-2", saved(image_of(container=nib.Nifti2Image)))
    fourth = image_of(voxels().astype(np.int16).transpose(2, 1, 0)[..., None])
    yield Odd("NIfTI", "fourth dimension of 1", saved(fourth))
    series = np.stack([voxels().astype(np.int16).transpose(2, 1, 0)] * 3, axis=3)
    yield Odd("NIfTI", "fourth dimension of 3", saved(image_of(series)), "expected three")
    for dtype in (np.int32, np.int64, np.float32, np.float64):
        name = f"stored as {np.dtype(dtype)}"
        yield Odd("NIfTI", name, saved(image_of(voxels().astype(dtype))))
    for name, value in {"NaN": np.nan, "infinite": np.inf, "beyond float32": 1e300}.items():
        odd = voxels().astype(np.float64)
        odd[3, 4, 5] = value
        yield Odd("NIfTI", f"a voxel {name}", saved(image_of(odd)), "NaN or infinite")
    data = bytes(raw())
    for share in (0.0, 0.001, 0.005, 0.3, 0.999):
        yield Odd("NIfTI", f"cut off at {share:.1%}", content(data[: int(share * len(data))]),
                  "image|header|more than the file|cannot be read|ends within")  # fmt: skip
    yield Odd("NIfTI", "a little longer", content(data + bytes(1000)))
    packed = gzip.compress(data)
    yield Odd("NIfTI", "gzip of two members",
              content(gzip.compress(data[:5000]) + gzip.compress(data[5000:])))  # fmt: skip
    yield Odd("NIfTI", "gzip without its name", content(packed))
    for share in (0.01, 0.5, 0.99):
        cut = packed[: int(share * len(packed))]
        yield Odd("NIfTI", f"gzip cut off at {share:.0%}", content(cut, "scan.nii.gz"),
                  "cannot be decompressed|no image|ends within")  # fmt: skip
    wrong = bytearray(packed)
    wrong[-8] ^= 1
    yield Odd("NIfTI", "gzip of a wrong checksum", content(bytes(wrong)), "cannot be decompressed")
    wrong = bytearray(packed)
    wrong[-3] ^= 1
    yield Odd("NIfTI", "gzip of a wrong length", content(bytes(wrong)), "cannot be decompressed")
    behind = later(lambda: gzip.compress(data + bytes(50_000_000)), "scan.nii")
    yield Odd("NIfTI", "bomb behind the voxels", behind, "after the voxels")
    bomb = bytearray(data)
    struct.pack_into("<3h", bomb, 42, 600, 600, 600)
    yield Odd("NIfTI", "bomb that lies", content(gzip.compress(bytes(bomb))), "more than the file")
    struct.pack_into("<3h", bomb, 42, 4000, 4000, 2000)
    honest = later(lambda: gzip.compress(bytes(bomb) + bytes(30_000_000)), "scan.nii")
    yield Odd("NIfTI", "bomb that says so", honest, "more than the")


# NRRD and MetaImage


def nrrd(fields: dict[str, str | None] | None = None, body: bytes | None = None) -> bytes:
    """The scan as NRRD, with fields replaced, added, or (None) left out."""
    a = affine()
    columns = [a[:3, i] * [-1, -1, 1] for i in range(3)]
    own: dict[str, str | None] = {
        "type": "short", "dimension": "3", "space": "left-posterior-superior",
        "sizes": "44 40 12", "endian": "little", "encoding": "raw",
        "space directions": " ".join(f"({','.join(map(str, c))})" for c in columns),
        "space origin": f"({','.join(map(str, a[:3, 3] * [-1, -1, 1]))})",
    } | (fields or {})  # fmt: skip
    head = "NRRD0004\n" + "".join(f"{k}: {v}\n" for k, v in own.items() if v is not None)
    return head.encode() + b"\n" + (voxels().astype("<i2").tobytes() if body is None else body)


def mha(fields: dict[str, str | None] | None = None, body: bytes | None = None) -> bytes:
    """The scan as MetaImage, with fields replaced, added, or (None) left out."""
    a = affine()
    own: dict[str, str | None] = {
        "ObjectType": "Image", "NDims": "3", "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False", "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 -1 0 0 0 1", "ElementSpacing": "2 2 5",
        "Offset": " ".join(map(str, a[:3, 3] * [-1, -1, 1])),
        "DimSize": "44 40 12", "ElementType": "MET_SHORT",
    } | (fields or {})  # fmt: skip
    own["ElementDataFile"] = own.pop("ElementDataFile", "LOCAL")  # behind all others
    head = "".join(f"{k} = {v}\n" for k, v in own.items() if v is not None)
    return head.encode() + (voxels().astype("<i2").tobytes() if body is None else body)


def text_formats() -> Iterator[Odd]:
    stored = voxels().astype("<i2").tobytes()
    packed = gzip.compress(stored)
    yield Odd("NRRD", "plain", content(nrrd(), "scan.nrrd"))
    yield Odd("NRRD", "compressed", content(nrrd({"encoding": "gzip"}, packed), "scan.nrrd"))
    yield Odd("NRRD", "text of a patient", content(nrrd({"content": "Doe^Jane"}), "scan.nrrd"))
    refused: dict[str, tuple[dict[str, str | None], str]] = {
        "300 dimensions": ({"dimension": "300"}, "expected three dimensions"),
        "4 dimensions": ({"dimension": "4", "sizes": "44 40 12 1"}, "expected three dimensions"),
        "2 dimensions": ({"dimension": "2", "sizes": "44 480"}, "expected three dimensions"),
        "huge": ({"sizes": "99999 99999 99999"}, "header claims 999"),
        "overflowing": ({"sizes": "4294967296 4294967296 4294967296"}, "claims|shape"),
        "negative": ({"sizes": "-44 40 12"}, "shape"),
        "a size of 0": ({"sizes": "0 40 12"}, "shape"),
        "no sizes": ({"sizes": None}, "shape"),
        "a size in words": ({"sizes": "44 40 twelve"}, "shape"),
        "unknown type": ({"type": "quaternion"}, "type 'quaternion'"),
        "block": ({"type": "block"}, "type 'block'"),
        "data elsewhere": ({"data file": "/etc/passwd"}, "not supported"),
        "a list of files": ({"datafile": "LIST"}, "not supported"),
        "bytes skipped": ({"byte skip": "-1"}, "byte skip"),
        "lines skipped": ({"line skip": "999999"}, "line skip"),
        "text encoding": ({"encoding": "ascii"}, "encoded as"),
        "bzip2": ({"encoding": "bzip2"}, "encoded as"),
        "directions NaN": ({"space directions": "(nan,0,0) (0,2,0) (0,0,5)"}, "space directions"),
        "directions singular": ({"space directions": "(2,0,0) (2,0,0) (0,0,5)"}, "singular"),
        "directions none": ({"space directions": "none none none"}, "space directions"),
        "no voxel size": ({"space directions": None}, "spacings"),
        "space of another kind": ({"space": "scanner-xyz"}, "space is"),
        "origin NaN": ({"space origin": "(nan,0,0)"}, "space origin"),
        "endian in words": ({"endian": "both"}, "expected little or big"),
    }  # fmt: skip
    for name, (fields, says) in refused.items():
        yield Odd("NRRD", name, content(nrrd(fields), "scan.nrrd"), says)
    yield Odd("NRRD", "cut off", content(nrrd()[:-500], "scan.nrrd"), "more than the file can hold")
    yield Odd("NRRD", "endless header", content(b"NRRD0004\n" + b"#" * 70_000, "scan.nrrd"),
              "header does not end")  # fmt: skip
    for share in (0.3, 0.99):
        cut = nrrd({"encoding": "gzip"}, packed[: int(share * len(packed))])
        name = f"gzip cut off at {share:.0%}"
        yield Odd("NRRD", name, content(cut, "scan.nrrd"), "truncated")
    wrong = bytearray(packed)
    wrong[-8] ^= 1
    damaged = content(nrrd({"encoding": "gzip"}, bytes(wrong)), "scan.nrrd")
    yield Odd("NRRD", "gzip of a wrong checksum", damaged, "decompressed")
    much = bytes(50_000_000)
    bomb = later(lambda: nrrd({"encoding": "gzip"}, gzip.compress(stored + much)), "scan.nrrd")
    yield Odd("NRRD", "bomb", bomb, "after the voxels")

    thin = zlib.compress(stored)
    yield Odd("MHA", "plain", content(mha(), "scan.mha"))
    squeezed: dict[str, str | None] = {"CompressedData": "True"}
    yield Odd("MHA", "compressed", content(mha(squeezed, thin), "scan.mha"))
    sized = squeezed | {"CompressedDataSize": str(len(thin))}
    yield Odd("MHA", "compressed, its size given", content(mha(sized, thin), "scan.mha"))
    refused = {
        "300 dimensions": ({"NDims": "300", "DimSize": "1 " * 200}, "expected three dimensions"),
        "4 dimensions": ({"NDims": "4", "DimSize": "44 40 12 1"}, "expected three dimensions"),
        "huge": ({"DimSize": "99999 99999 99999"}, "header claims 999"),
        "negative": ({"DimSize": "-44 40 12"}, "shape"),
        "too few sizes": ({"DimSize": "44 480"}, "expected three dimensions"),
        "unknown type": ({"ElementType": "MET_X"}, "type 'MET_X'"),
        "an array type": ({"ElementType": "MET_CHAR_ARRAY"}, "type 'MET_CHAR_ARRAY'"),
        "spacing NaN": ({"ElementSpacing": "1 nan 1"}, "elementspacing"),
        "no spacing": ({"ElementSpacing": None}, "elementspacing"),
        "spacing 0": ({"ElementSpacing": "2 0 5"}, "sizes must be above 0"),
        "spacing negative": ({"ElementSpacing": "2 -2 5"}, "sizes must be above 0"),
        "offset of two": ({"Offset": "1 2"}, "offset"),
        "matrix singular": ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "singular or not finite"),
        "channels 3": ({"ElementNumberOfChannels": "3"}, "several channels"),
        "channels huge": ({"ElementNumberOfChannels": "1000000"}, "several channels"),
        "channels -1": ({"ElementNumberOfChannels": "-1"}, "several channels"),
        "data elsewhere": ({"ElementDataFile": "../../secret.raw"}, "not supported"),
        "a list of files": ({"ElementDataFile": "LIST"}, "not supported"),
        "a pattern of files": ({"ElementDataFile": "a%d.raw 1 9 1"}, "not supported"),
        "header size": ({"HeaderSize": "-1"}, "headersize"),
    }  # fmt: skip
    for name, (fields, says) in refused.items():
        yield Odd("MHA", name, content(mha(fields), "scan.mha"), says)
    yield Odd("MHA", "a field twice", content(b"NDims = 3\nNDims = 300\n" + mha(), "scan.mha"),
              "a duplicate")  # fmt: skip
    yield Odd("MHA", "cut off", content(mha()[:-500], "scan.mha"), "more than the file can hold")
    for share in (0.3, 0.99):
        cut = thin[: int(share * len(thin))]
        for fields in (squeezed, sized):
            name = f"compressed {'' if fields is squeezed else 'with size '}cut off at {share:.0%}"
            yield Odd("MHA", name, content(mha(fields, cut), "scan.mha"), "truncated")  # fmt: skip
    wrong = bytearray(thin)
    wrong[-1] ^= 1
    yield Odd("MHA", "of a wrong checksum", content(mha(squeezed, bytes(wrong)), "scan.mha"),
              "decompressed")  # fmt: skip
    bomb = later(lambda: mha(squeezed, zlib.compress(stored + much)), "scan.mha")
    yield Odd("MHA", "bomb", bomb, "after the voxels")


# Archives


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Make:
    def make(folder: Path) -> Path:
        with warnings.catch_warnings(), zipfile.ZipFile(folder / "a.zip", "w", method) as archive:
            warnings.simplefilter("ignore")  # of a duplicate name
            for name, data in files.items():
                archive.writestr(name.removesuffix("*"), data)
        return folder / "a.zip"

    return make


def edited(make: Make, edit: Callable[[bytearray], bytes]) -> Make:
    """The file, or every file of the folder, after a change of its bytes."""

    def change(folder: Path) -> Path:
        path = make(folder)
        for file in [path] if path.is_file() else list(path.iterdir()):
            file.write_bytes(edit(bytearray(file.read_bytes())))
        return path

    return change


def flipped(at: float) -> Callable[[bytearray], bytes]:
    def flip(data: bytearray) -> bytes:
        data[int(at * len(data))] ^= 0xFF
        return bytes(data)

    return flip


def with_link(folder: Path) -> Path:
    link = zipfile.ZipInfo("scan.nii.gz")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    return folder / "a.zip"


def archives() -> Iterator[Odd]:
    scan = bytes(raw())
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        kind = {0: "stored", 8: "deflate", 12: "bzip2", 14: "LZMA"}[method]
        whole = zipped({"in/scan.nii": scan}, method)
        yield Odd("zip", kind, whole)
        for at in (0.2, 0.6, 0.9):
            damaged = edited(whole, flipped(at))
            yield Odd("zip", f"{kind}, damaged at {at:.0%}", damaged, r"a\.zip")
    for name in ("../evil.nii", "/tmp/evil.nii", "..\\evil.nii", "C:/evil.nii"):
        yield Odd("zip", f"member {name}", zipped({name: scan}), "outside its folder")
    for names in (["."], ["a", "a*"], ["a", "a/b"], ["a/b", "a"], ["a/" + "n" * 300]):
        made = zipped(dict.fromkeys(names, scan))
        yield Odd("zip", f"members {[n[:9] for n in names]}", made, r"a\.zip")
    yield Odd("zip", "a link", with_link, "holds the link")
    yield Odd("zip", "empty", zipped({}), "no known image|holds no")
    yield Odd("zip", "text alone", zipped({"readme.txt": b"hello"}), "holds no")
    yield Odd("zip", "two scans", zipped({"a.nii": scan, "b.nii": scan}), "2 scans")
    inner = zipped({"scan.nii": scan})

    def nested(folder: Path) -> Path:
        return zipped({"scan.nii": inner(folder).read_bytes()})(folder)

    yield Odd("zip", "a zip within", nested, "is in fact zip")
    yield Odd(
        "zip", "bomb", lambda folder: zipped({"scan.nii": bytes(50_000_000)})(folder), "known image"
    )

    def locked(data: bytearray) -> bytes:
        for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            data[data.index(mark) + at] |= 1
        return bytes(data)

    def nameless(data: bytearray) -> bytes:
        return bytes(data).replace(b"scan.nii", b"\0can.nii")  # a zero byte ends a name

    yield Odd("zip", "a member without a name", edited(inner, nameless), r"a\.zip")

    def lying(data: bytearray) -> bytes:
        struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 0xFFFFFFF0)
        return bytes(data)

    yield Odd("zip", "a password", edited(inner, locked), "encrypted")
    yield Odd("zip", "a size that lies", edited(inner, lying), r"a\.zip")
    yield Odd("zip", "cut off", edited(inner, lambda data: bytes(data[:-30])), r"a\.zip")


# DICOM


def series(**values: Any) -> Make:
    """The scan as a series whose slices have other values; None deletes, a callable takes z."""

    def make(folder: Path) -> Path:
        return write_series(folder / "series", voxels(), affine(), **values)

    return make


def first(value: Any, others: Any) -> Callable[[int], Any]:
    return lambda z: value if z == 0 else others


def dicom() -> Iterator[Odd]:
    yield Odd("DICOM", "plain", series())
    place = series
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "spacing 0": ({"PixelSpacing": [0, 0]}, "PixelSpacing"),
        "spacing negative": ({"PixelSpacing": [-1, 1]}, "PixelSpacing"),
        "spacing single": ({"PixelSpacing": [1]}, "PixelSpacing"),
        "spacing missing": ({"PixelSpacing": None}, "PixelSpacing"),
        "position NaN": ({"ImagePositionPatient": ["nan", "0", "0"]}, "ImagePositionPatient"),
        "position of two": ({"ImagePositionPatient": [0, 0]}, "ImagePositionPatient"),
        "position missing": ({"ImagePositionPatient": None}, "no DICOM s"),
        "all in one place": ({"ImagePositionPatient": [0, 0, 0]}, "slice is missing"),
        "orientation of 5": ({"ImageOrientationPatient": [1, 0, 0, 0, 1]}, "ImageOrientation"),
        "orientation 0": ({"ImageOrientationPatient": [0] * 6}, "ImageOrientation"),
        "orientation NaN": ({"ImageOrientationPatient": ["nan"] * 6}, "ImageOrientation"),
        "orientation missing": ({"ImageOrientationPatient": None}, "ImageOrientation"),
        "one slice turned": ({"ImageOrientationPatient": lambda z: [0, 1, 0, 0, 0, 1] if z == 3
                              else [1, 0, 0, 0, 1, 0]}, "ImageOrientation"),
        "one spacing differs": ({"PixelSpacing": lambda z: [2, 2.5] if z == 3 else [2, 2]},
                                "PixelSpacing"),
        "bent": ({"ImagePositionPatient": lambda z: [0.1 * z * z, 0, 5.0 * z]}, "straight stack"),
        "a gap": ({"ImagePositionPatient": lambda z: [0, 0, 5.0 * z + 5 * (z > 6)]}, "missing"),
        "half the pixels": ({"PixelData": first(bytes(44 * 40), None)}, "fewer pixels"),
        "no pixels": ({"PixelData": b""}, "fewer pixels|before its pixels"),
        "several frames": ({"NumberOfFrames": 2}, "several frames"),
        "colours": ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "in colour"),
        "low values bright": ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1"),
        "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE"),
        "photometric missing": ({"PhotometricInterpretation": None}, "PhotometricInterpretation"),
        "rows 0": ({"Rows": 0}, "shape|Rows|dimensions"),
        "rows more than held": ({"Rows": 4000}, "fewer pixels"),
        "rows missing": ({"Rows": None}, "no DICOM s"),
        "columns missing": ({"Columns": None}, "Columns"),
        "bits 0": ({"BitsAllocated": 0}, "BitsStored is 16 of 0"),
        "bits 13": ({"BitsAllocated": 13}, "BitsStored is 16 of 13"),
        "bits stored 99": ({"BitsStored": 99}, "BitsStored is 99 of 16"),
        "slope NaN": ({"RescaleSlope": "nan"}, "RescaleSlope"),
        "slope infinite": ({"RescaleSlope": "inf"}, "RescaleSlope"),
        "slope 0": ({"RescaleSlope": 0}, "RescaleSlope"),
        "slope of two": ({"RescaleSlope": [1, 2]}, "RescaleSlope"),
        "slope enormous": ({"RescaleSlope": "1e300"}, "NaN or infinite"),
        "intercept NaN": ({"RescaleIntercept": "nan"}, "RescaleIntercept"),
        "samples missing": ({"SamplesPerPixel": None}, "SamplesPerPixel"),
        "JPEG that is none": ({"TransferSyntaxUID": JPEGLosslessSV1,
                               "PixelData": encapsulate([bytes(900)])}, "cannot be read"),
    }  # fmt: skip
    for name, (values, says) in wrong.items():
        yield Odd("DICOM", name, place(**values), says)
    mark = b"\x28\x00\x53\x10DS\x04\x00"
    words = edited(series(), lambda data: bytes(data.replace(mark + b"1.0 ", mark + b"one ")))
    yield Odd("DICOM", "slope in words", words, "RescaleSlope")
    for name, tag in {"file": b"\x02\x00\x02\x00UI", "slices": b"\x28\x00\x10\x00US"}.items():
        unknown = edited(series(), lambda data, t=tag: bytes(data.replace(t, t[:4] + b"U\x1a")))
        yield Odd(
            "DICOM", f"a type of value that is none, of the {name}", unknown, "cannot be read as"
        )
    half = {"RescaleSlope": 0.5, "RescaleIntercept": -1000}
    yield Odd("DICOM", "slope of a half", series(stored=lambda v: 2 * (v + 1000), **half))
    varying = {"RescaleSlope": lambda z: 1 + (z % 2), "RescaleIntercept": 0}
    by_slice = series(stored=lambda v: v // (1 + np.arange(12) % 2)[:, None, None], **varying)
    yield Odd("DICOM", "slopes that vary", by_slice)
    yield Odd("DICOM", "no slope", series(stored=lambda v: v, RescaleSlope=None,
                                          RescaleIntercept=None))  # fmt: skip
    for share in (0.05, 0.3, 0.6, 0.95):
        cut = edited(series(), lambda data, s=share: bytes(data[: int(s * len(data))]))
        yield Odd("DICOM", f"cut off at {share:.0%}", cut, "truncated|cannot be read as DICOM|no DI"
                  "COM s")  # fmt: skip

    def single(folder: Path) -> Path:
        made = series()(folder)
        for file in sorted(made.iterdir())[1:]:
            file.unlink()
        return made

    def one_file(folder: Path) -> Path:
        return min(series()(folder).iterdir())

    def with_text(folder: Path) -> Path:
        (series()(folder) / "notes.txt").write_text("not a slice")
        return folder / "series"

    def with_pipe(folder: Path) -> Path:
        os.mkfifo(series()(folder) / "pipe.dcm")
        return folder / "series"

    def with_twin(folder: Path) -> Path:
        made = series()(folder)
        shutil.copy(min(made.iterdir()), made / "twin.dcm")
        return made

    def with_link_out(folder: Path) -> Path:
        made = series()(folder)
        moved = shutil.move(min(made.iterdir()), folder / "outside.dcm")
        (made / "link.dcm").symlink_to(moved)
        return made

    def missing_one(folder: Path) -> Path:
        made = series()(folder)
        (made / "02.dcm").unlink()
        return made

    def empty(folder: Path) -> Path:
        (folder / "series").mkdir()
        return folder / "series"

    yield Odd("DICOM", "one slice", single, "single slice")
    yield Odd("DICOM", "a file of a series", one_file, "single DICOM file")
    yield Odd("DICOM", "text beside", with_text)
    yield Odd("DICOM", "a pipe beside", with_pipe)
    yield Odd("DICOM", "a slice twice", with_twin, "duplicated")
    yield Odd("DICOM", "a link out", with_link_out, "links out of")
    yield Odd("DICOM", "a slice missing", missing_one, "missing")
    yield Odd("DICOM", "an empty folder", empty, "holds no")


def others() -> Iterator[Odd]:
    def pipe(folder: Path) -> Path:
        os.mkfifo(folder / "scan.nii")
        return folder / "scan.nii"

    yield Odd("other", "empty", content(b""), "no known image format")
    yield Odd("other", "a program", content(b"\x7fELF" + bytes(600)), "no known image format")
    yield Odd("other", "gzip of nothing", content(gzip.compress(b"")), "no known image format")
    yield Odd("other", "gzip torn", content(gzip.compress(bytes(4000))[:20]), "decompressed")
    yield Odd("other", "text", content(b"hello world\n" * 99), "no known image format")
    yield Odd("other", "a pipe", pipe, "not a regular file")
    yield Odd("other", "missing", lambda folder: folder / "missing.nii", "no such file|not exist")
    yield Odd("other", "a long name", lambda folder: folder / ("n" * 300), "too long")
