"""This process and the app's settings: what may be opened, keep-alives, and greenlets without their patch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from ...config import Settings
from ...delivery.descriptors import RESERVE, most_descriptors
from ...delivery.servers.eventlet import Eventlet
from ...delivery.servers.gevent import Gevent
from ...delivery.servers.greenlets import GreenletServer
from ...strategies.keepalive import Never, longest_silence
from .findings import Finding
from .gunicorn import Gunicorn

_USUAL: Final = 1_000
"""So many clients of one process are expected where nobody says how many."""

SHORTEST_TIMEOUT: Final = 60.0
"""Seconds of silence after which nginx, and most others, close a connection unless they are told better."""

_SERVERS: Final[dict[str, GreenletServer]] = {"gevent.pywsgi": Gevent(), "eventlet.wsgi": Eventlet()}


def descriptors(settings: Settings, clients: int | None, gunicorn: Gunicorn | None) -> Iterator[Finding]:
    """Whether a process may open as many descriptors as its clients take.

    clients: how many are expected; None: nobody says.
    """
    allowed = most_descriptors()
    if allowed is None:
        return
    expected = clients or settings.max_connections or _USUAL
    accepted = gunicorn.worker_connections if gunicorn and gunicorn.worker_class == "gthread" else 0
    needed = expected + (accepted if settings.delivery != "wsgi" else 0) + RESERVE
    if allowed < needed:
        yield Finding(
            "warning",
            f"a process may open {allowed:,} descriptors, and {needed:,} are needed for {expected:,} clients",
            "further clients are sent away and poll; a gunicorn worker that finds none left ends, with "
            "all its clients",
            f"ulimit -n {max(20_000, 2 * needed)}",
        )


def keep_alives(settings: Settings) -> Iterator[Finding]:
    """Whether keep-alives go out before a proxy takes an idle connection for dead."""
    if isinstance(settings.keep_alive, Never):
        yield Finding(
            "warning",
            "there are no keep-alives",
            "proxies close connections on which nothing happens, and dead clients stay until the next event",
            "STREAMY_KEEP_ALIVE = 30",
        )
    elif (silence := longest_silence(settings.keep_alive)) is not None:
        yield from too_rare(silence)


def too_rare(silence: float) -> Iterator[Finding]:
    """silence: seconds between two keep-alives."""
    if silence >= SHORTEST_TIMEOUT:
        yield Finding(
            "warning",
            f"keep-alives go out only every {silence:g} s",
            f"a proxy closes what is silent for {SHORTEST_TIMEOUT:g} s, unless it is told better (nginx: "
            "proxy_read_timeout), and browsers reconnect each time",
            "STREAMY_KEEP_ALIVE = 30",
        )


def greenlets() -> Iterator[Finding]:
    """Whether a server of greenlets was imported by the app, and threads were left as they are."""
    for module, server in _SERVERS.items():
        if module in sys.modules and not server.is_patched():
            yield Finding(
                "error",
                f"{server.name} serves the app, and nothing is patched",
                "a stream that waits has all other requests wait",
                f"before all other imports: import {server.patch.partition('(')[0].rpartition('.')[0]}; "
                f"{server.patch}",
            )
