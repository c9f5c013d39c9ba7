"""What is known of one client over one HTTP response."""

from __future__ import annotations

import math
import time
from collections.abc import Container
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from ..observers import Beginning, DisconnectReason
from ..strategies.keepalive import KeepAliveScheduler
from .questions import Question, Recheck


class Expiry(NamedTuple):
    """When a session is over, in seconds after its connect, and why: a browser is told to come back."""

    seconds: float
    reason: DisconnectReason = DisconnectReason.EXPIRED


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One client's session. Where it is in its streams is its reader's to know.

    streams:    what it reads.
    key:        whom it belongs to: a user, an address; None if nobody said.
    keep_alive: when it is due for a keep-alive.
    expiry:     when it is over; None: never.
    requested_at: when the request that it came with began, by `time.monotonic`.
    granted_at: likewise, when the grant was given by which it reads; None: the request's view decided.
    recheck:    who is asked again whether it may; None: nobody.
    came_as:    what it was before streams were taken from it.
    began:      where in its streams it began.
    """

    streams: tuple[str, ...]
    key: str | None
    keep_alive: KeepAliveScheduler
    expiry: Expiry | None = None
    requested_at: float = field(default_factory=time.monotonic)
    granted_at: float | None = None
    recheck: Recheck | None = None
    came_as: Session | None = None
    began: Beginning = Beginning.LIVE

    @property
    def decided_at(self) -> float:
        """When it was decided that it may read, by `time.monotonic`."""
        return self.requested_at if self.granted_at is None else min(self.granted_at, self.requested_at)

    @property
    def seconds(self) -> float:
        """How long it may last after its connect, in seconds."""
        return math.inf if self.expiry is None else self.expiry.seconds

    @property
    def question(self) -> Question:
        """What its right to read is, as it is asked about again."""
        return Question(self.key, self.streams)

    @property
    def told(self) -> Session:
        """As observers know it: the same from the connect to the end."""
        return self.came_as or self

    def without(self, lost: Container[str]) -> Self:
        """This one, when these streams have been taken from it."""
        left = tuple(name for name in self.streams if name not in lost)
        return replace(self, streams=left, came_as=self.told)
