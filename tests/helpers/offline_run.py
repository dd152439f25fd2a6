"""Reads a wandb offline run back: a LevelDB log of protocol buffers."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER, BLOCK, CHUNK = 7, 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(folder: Path) -> list[Any]:
    """The records of the one offline run below ``folder``/wandb.

    wandb's service writes the file from a process of its own: wait for the run's exit to be there.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    for _ in range(100):
        found = [Record.FromString(data) for data in _payloads(path.read_bytes())]
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            return found
        time.sleep(0.2)
    raise AssertionError(f"{path} does not end: the run was never finished")


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
