"""What is on its way to whom: in slices and in turns, so that no large group holds up others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from .client import Client

DELIVERY: Final = "detached"

SENDS: Final = 64
"""How many sends are made before everything else gets its turn."""


class Outgoing(Protocol):
    """Bytes for some clients."""

    @property
    def sent(self) -> bool:
        """Whether everybody has had their turn."""
        ...

    def next(self, most: int) -> Iterable[tuple[Client, bytes]]:
        """The next of them, so many at most, and what each is sent. It is sent before the next is taken."""
        ...


class Sending:
    """For the loop's thread.

    blocked: told of a client whose socket hasn't taken all, and of the rest.
    gone:    told of a client that is there no more.
    """

    def __init__(self, blocked: Callable[[Client, memoryview], None], gone: Callable[[Client], None]) -> None:
        self._blocked = blocked
        self._gone = gone
        self._queue: deque[tuple[Outgoing, Callable[[], None]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._queue)

    def start(self, outgoing: Outgoing, finished: Callable[[], None]) -> None:
        """Send this in turns with the others. finished: called when it has been sent."""
        self._queue.append((outgoing, finished))

    def run(self) -> None:
        """Send a slice."""
        left = SENDS
        while self._queue and left > 0:
            outgoing, finished = self._queue.popleft()
            left -= max(1, self.send(outgoing, left))
            if outgoing.sent:
                finished()
            else:
                self._queue.append((outgoing, finished))

    def send(self, outgoing: Outgoing, most: int) -> int:
        """Send to so many clients at most, at once. Returns to how many."""
        sends = 0
        for client, data in outgoing.next(most):
            sends += 1
            try:
                sent = client.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._gone(client)
                continue
            if sent != len(data):
                self._blocked(client, memoryview(data)[sent:])
        return sends
