"""What is known of one client over one HTTP response."""

from __future__ import annotations

import time
from collections.abc import Container
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from ..observers import DisconnectReason
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
    recheck:    who is asked again whether it may; None: nobody.
    came_as:    what it was before streams were taken from it.
    """

    streams: tuple[str, ...]
    key: str | None
    keep_alive: KeepAliveScheduler
    expiry: Expiry | None = None
    requested_at: float = field(default_factory=time.monotonic)
    recheck: Recheck | None = None
    came_as: Session | None = None

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
