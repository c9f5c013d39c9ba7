"""What happens to a client that can't keep up: small strategy objects, stateless and frozen.

Any object with `decide` is a slow-client policy. Whatever it decides, a slow client costs little:
at most one slice of bytes is held for it, shared with others, and the rest stays in the log.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, runtime_checkable

logger: Final = logging.getLogger("streamy.delivery")


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a client is behind.

    entries: how many entries it hasn't been given yet; None if more than this process keeps at hand.
    bytes:   how many bytes of those it was given the system hasn't taken.
    stalled: seconds since the system last took any.
    """

    entries: int | None
    bytes: int
    stalled: float


class Verdict(Enum):
    """What to do with a client that is behind."""

    WAIT = "wait"
    DISCONNECT = "disconnect"
    SKIP = "skip"


@runtime_checkable
class SlowClientPolicy(Protocol):
    """Decides about clients that are behind."""

    def decide(self, lag: Lag) -> Verdict:
        """WAIT, DISCONNECT (it comes back and resumes) or SKIP.

        After SKIP it gets `streamy.gap`, the newest entry, and the end if there is one.

        Asked about once a second for each client that is behind. Must not block. With WSGI
        delivery it is asked when the system has taken a piece, if that took a second or longer: so
        `bytes` and `stalled` are 0 then, and `entries` tells how far behind the client is.
        """
        raise NotImplementedError


def verdict_on(lag: Lag, policy: SlowClientPolicy) -> Verdict:
    """What the policy decides; if it fails, that is logged and the client may stay."""
    try:
        return policy.decide(lag)
    except Exception:
        logger.exception("the slow-client policy failed, so a slow client may stay")
        return Verdict.WAIT


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close it: it comes back, resumes from the log, and loses nothing that is still there.

    seconds: how long it may take nothing at all. A slow reader's system tells of what it has taken in
             pieces of up to 96 KiB, so fewer seconds are for fast readers.
    entries: how many it may be behind by; None: any number, as long as it takes some.
    """

    seconds: float = 20.0
    entries: int | None = None

    def decide(self, lag: Lag) -> Verdict:
        if lag.stalled > self.seconds or _beyond(lag, self.entries):
            return Verdict.DISCONNECT
        return Verdict.WAIT


@dataclass(frozen=True, slots=True)
class SkipToLatest:
    """Leave out what it is behind by, and say so by `streamy.gap`. For dashboards.

    entries: how many it may be behind by.
    seconds: how long it may take nothing at all before it is closed.
    """

    entries: int = 100
    seconds: float = 20.0

    def decide(self, lag: Lag) -> Verdict:
        if lag.stalled > self.seconds:
            return Verdict.DISCONNECT
        return Verdict.SKIP if _beyond(lag, self.entries) else Verdict.WAIT


def _beyond(lag: Lag, most: int | None) -> bool:
    return most is not None and (lag.entries is None or lag.entries > most)
