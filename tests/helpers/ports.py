"""Ports of this machine."""

from __future__ import annotations

import socket

HERE = "127.0.0.1"


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return int(probe.getsockname()[1])


def listens(port: int, host: str = HERE) -> bool:
    """Whether something does."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0
