"""Descriptors: what a process may open is shared between its server, its clients, and everything else."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..config import Settings
from .limits import Limits
from .servers import Server

RESERVE: Final = 128
"""For files, backends, and sockets that are being taken over."""

logger: Final = logging.getLogger("streamy.delivery")


def share_descriptors(limits: Limits, server: Server, settings: Settings) -> None:
    """Allow no more clients than descriptors are left for; where too few are, the server accepts less.

    A server whose `accept` finds none left may end (gunicorn's worker does), with all its clients.
    """
    allowed = most_descriptors()
    if allowed is None:
        return
    accepted = server.connections()
    left = max(1, allowed - RESERVE)
    if accepted is None or settings.delivery == "wsgi":  # then its connections are the clients
        limits.lower_to(left)
        return
    clients = max(left - accepted, left // 2)
    if settings.max_connections is not None:
        clients = min(clients, settings.max_connections)
    limits.lower_to(clients)
    if accepted > left - clients:
        server.accept_at_most(left - clients)
        logger.warning(
            "this process may open %d descriptors (`ulimit -n`), but %s may accept %d connections beside "
            "%d detached clients: it accepts %d at once from now on. Raise `ulimit -n` to %d or more, or "
            "lower gunicorn's worker_connections",
            allowed,
            server.name,
            accepted,
            clients,
            left - clients,
            accepted + clients + RESERVE,
        )


def descriptors_of(pids: Sequence[int]) -> list[int] | None:
    """How many each of these processes has open; None: it isn't told. One that is gone is left out."""
    found: list[int] = []
    for pid in pids:
        folder = Path(f"/proc/{pid}/fd")
        try:
            # Since Linux 6.2 its size says it (proc(5)).
            found.append(folder.stat().st_size or len(list(folder.iterdir())))
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError:  # somebody else's, or of a process that has changed its user
            return None
    return found


def most_descriptors() -> int | None:
    """How many this process may open; None: any number, or nobody knows."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
