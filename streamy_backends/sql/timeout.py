"""A connection to PostgreSQL that doesn't wait for an answer for ever, as psycopg's own does."""

from __future__ import annotations

import select
import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg.waiting import Ready, Wait

T = TypeVar("T")


class TimeoutConnection(psycopg.Connection[Any]):
    """Closes itself, and raises OperationalError, if an answer takes more than `answer_timeout` seconds.

    What was asked may be done all the same, as with any answer that is lost.
    """

    answer_timeout: float

    def wait(self, gen: Generator[Any, Any, T], interval: float = 0.0, timeout: float | None = None) -> T:
        """What psycopg has all its waiting done by."""
        deadline = time.monotonic() + (self.answer_timeout if timeout is None else timeout)
        poll = select.poll()
        try:
            wanted = next(gen)
            while True:
                poll.register(self.pgconn.socket, _EVENTS[wanted])
                found = poll.poll(max(0.0, deadline - time.monotonic()) * 1_000)
                if not found:
                    self.close()
                    raise psycopg.OperationalError("no answer came in time")
                wanted = gen.send(_ready(found[0][1]))
        except StopIteration as done:
            result: T = done.value
            return result


_EVENTS = {
    Wait.R: select.POLLIN,
    Wait.W: select.POLLOUT,
    Wait.RW: select.POLLIN | select.POLLOUT,
}


def _ready(events: int) -> Ready:
    reads, writes = events & ~select.POLLOUT, events & select.POLLOUT
    return Ready.RW if reads and writes else Ready.W if writes else Ready.R
