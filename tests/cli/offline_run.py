"""Reads a wandb offline run back: a LevelDB log of protocol buffers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER, BLOCK, CHUNK = 7, 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(folder: Path) -> list[Any]:
    """The records of the one offline run below ``folder``/wandb."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    return [Record.FromString(data) for data in _payloads(path.read_bytes())]


def _payloads(data: bytes) -> Iterator[bytes]:
    position, parts = HEADER, b""
    while position + CHUNK <= len(data):
        if BLOCK - position % BLOCK < CHUNK:
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + CHUNK])
        position += CHUNK
        parts += data[position : position + length]
        position += length
        if kind in (FULL, LAST):
            yield parts
            parts = b""
