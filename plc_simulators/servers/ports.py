"""Loopback ports for the servers: nothing of a simulator listens on any other address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

HOST = "127.0.0.1"


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def listening_port(server: asyncio.AbstractServer | asyncio.BaseTransport) -> int:
    """The port that a listening asyncio server was given."""
    sockets: Sequence[socket.socket] = getattr(server, "sockets", ())
    assert sockets, "the server does not listen"
    port: int = sockets[0].getsockname()[1]
    return port
