"""The sockets of the clients that are connected, so that they can be cut off."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST: Final = 1_000
"""Beyond so many clients, those that came first can't be cut off any more."""


class Connections:
    """See the module. Any thread.

    outage: for how many seconds a client that was cut off can't come back.
    """

    def __init__(self, outage: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.outage = outage
        self._clock = clock
        self._lock = threading.Lock()
        self._sockets: OrderedDict[str, socket.socket] = OrderedDict()
        self._back_at: OrderedDict[str, float] = OrderedDict()

    def add(self, client: str, connection: socket.socket) -> None:
        """Remember a client's socket until `discard`."""
        with self._lock:
            self._sockets[client] = connection
            if len(self._sockets) > MOST:
                self._sockets.popitem(last=False)

    def discard(self, client: str, connection: socket.socket) -> None:
        """Forget the client, unless it has come again on another socket."""
        with self._lock:
            if self._sockets.get(client) is connection:
                del self._sockets[client]

    def cut(self, client: str) -> bool:
        """Cut the client off, and keep it off for a while. False if there is no such client."""
        with self._lock:
            connection = self._sockets.pop(client, None)
            if connection is None:
                return False
            self._back_at[client] = self._clock() + self.outage
            if len(self._back_at) > MOST:
                self._back_at.popitem(last=False)
            # Under the lock: `discard` comes before the server closes the socket, whose number
            # another connection may then get.
            hang_up(connection)
            return True

    def is_cut_off(self, client: str) -> bool:
        """Whether the client is still kept off."""
        with self._lock:
            back_at = self._back_at.get(client)
            if back_at is None or self._clock() < back_at:
                return back_at is not None
            del self._back_at[client]
            return False

    def __len__(self) -> int:
        return len(self._sockets)


def hang_up(connection: socket.socket) -> None:
    """End a connection at once, both ways."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
