"""Whether what is published is still heard: an endpoint may lead to another server by now.

Connections that are there stay with the old one: it may be a replica, of another primary even, and
whoever listens to it would hear nothing for good.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError

from .faults import Meaning, meaning_of

EVERY: Final = 1.5
"""Seconds without a bell after which one of our own is rung, and in which it has to be heard."""

logger: Final = logging.getLogger("streamy.redis")


class Probe:
    """Rings a bell for one subscription when others have been quiet. One thread at a time.

    channel: which the subscription has.
    ring:    publishes there, by a connection for commands. Raises RedisError.
    now:     of `time.monotonic`.
    """

    def __init__(self, channel: str, ring: Callable[[str], object], now: float) -> None:
        self.channel: str = channel
        self._ring = ring
        self._heard_at = now - EVERY  # nothing has been, so far
        self._rung_at: float | None = None
        self._read_only = False

    def heard(self, now: float) -> None:
        """Something was published, and has come."""
        self._heard_at, self._rung_at = now, None

    def due_in(self, now: float) -> float:
        """Seconds until `check` has something to do."""
        since = self._heard_at if self._rung_at is None else self._rung_at
        return max(0.0, since + EVERY - now)

    def check(self, now: float) -> None:
        """After some quiet, ring; raise RedisError if that fails, or isn't heard in time."""
        if self.due_in(now) > 0:
            return
        if self._rung_at is not None:
            raise NoConnection(
                "what is published isn't heard here: commands and bells have gone to different servers"
            )
        try:
            self._ring(self.channel)
        except RedisError as error:
            if meaning_of(error).meaning is not Meaning.REFUSAL:
                raise
            self._note(read_only=True)
            self._heard_at = now  # bells reach a replica, too, and there is no better server
            return
        self._note(read_only=False)
        self._rung_at = now

    def _note(self, *, read_only: bool) -> None:
        if read_only is self._read_only:
            return
        self._read_only = read_only
        if read_only:
            logger.warning(
                "the server takes no writes: connections are made anew until one leads to a server that does"
            )
        else:
            logger.info("the server takes writes again")
