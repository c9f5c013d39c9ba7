"""Ports for servers that have to be told theirs."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

CLUSTER_BUS: Final = 10_000
"""So far above its own port lies that by which a node of a Redis cluster talks to the others."""


def free_port() -> int:
    """A port that is free, as is the one `CLUSTER_BUS` above it, and stays so while no server holds it.

    The system gives it to nobody's outgoing connection: else one of the clients that try to reconnect
    to a server which is away could be given the server's port, and reach itself.
    """
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, first_given)
        if _is_free(port) and _is_free(port + CLUSTER_BUS):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
