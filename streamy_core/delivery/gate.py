"""Which clients are told to stay away for a while, before anything is done for them."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from typing import Final

from ..config import Settings
from ..events import MAX_RETRY_MS
from ..observers import Observer, TurnAwayCause
from ..strategies.clock import Clock
from ..tally import Tally
from .limits import Limits
from .recent import Recent

LONGEST: Final = 60.0
"""Seconds for which a client is sent away at most, before chance; or `STREAMY_RECONNECT_DELAY`."""

_PATIENCE: Final = 60.0
"""Seconds after a key should have come back from which on its next wait is short again."""

logger: Final = logging.getLogger("streamy.delivery")


class Opens:
    """How often each key may open a stream: so many at once, and as many again over a minute.

    For one thread at a time. per_minute: how many; None: any number.
    """

    def __init__(self, per_minute: int | None, clock: Clock) -> None:
        self._pause = 0.0 if per_minute is None else 60.0 / per_minute
        self._clock = clock
        self._full_at: Recent[float] = Recent()  # when a key may open as many as at first

    def open(self, key: str) -> float:
        """Count one more. Returns the seconds until it may be; 0: now. What may not be isn't counted."""
        if not self._pause:
            return 0.0
        now = self._clock()
        full_at = max(self._full_at.get(key) or now, now) + self._pause
        if (early := full_at - 60.0 - now) > 1e-6:
            return early
        self._full_at.put(key, full_at)
        return 0.0

    def __len__(self) -> int:
        return len(self._full_at)


class Waits:
    """How long who is refused has to wait: twice as long each time, by chance half as much more or less.

    For one thread at a time.

    shortest: seconds at first.
    chance:   a number from 0 to 1, each time another.
    """

    def __init__(self, shortest: float, clock: Clock, chance: Callable[[], float] = random.random) -> None:
        self._shortest = shortest
        self._longest = max(LONGEST, shortest)
        self._clock = clock
        self._chance = chance
        self._last: Recent[tuple[float, float]] = Recent()  # when it was refused, and for how long

    def next(self, key: str) -> float:
        """Seconds for this key, which is refused once more."""
        now = self._clock()
        at, last = self._last.get(key) or (now, 0.0)
        again = last > 0.0 and now - at < 1.5 * last + _PATIENCE
        seconds = min(2 * last, self._longest) if again else self._shortest
        self._last.put(key, (now, seconds))
        return seconds * (0.5 + self._chance())

    def __len__(self) -> int:
        return len(self._last)


class Gate:
    """See the module. Any thread.

    limits:   knows how many clients each key has.
    observer: told of who has to stay away.
    """

    def __init__(self, limits: Limits, settings: Settings, observer: Observer | None = None) -> None:
        self._observer = observer or Observer()
        self._limits = limits
        self._most_streams = settings.max_streams_per_connection
        self._lock = threading.Lock()
        self._opens = Opens(settings.max_opens_per_minute, settings.clock)
        self._waits = Waits(settings.reconnect_delay, settings.clock)
        self._tally = Tally(settings.clock)

    def refusal(self, streams: Sequence[str], key: str | None) -> int | None:
        """For how many milliseconds a client of these streams has to stay away; None: it may come in."""
        if (refused := self._look(streams, key)) is None:
            return None
        cause, delay_ms = refused
        self._observer.turned_away(tuple(streams), key, cause)
        return delay_ms

    def _look(self, streams: Sequence[str], key: str | None) -> tuple[TurnAwayCause, int] | None:
        """Why a client has to stay away, and for how many milliseconds; None: it may come in."""
        if len(streams) > self._most_streams:
            whose = key if key is not None else "\n".join(streams)
            delay_ms = self._refuse("STREAMY_MAX_STREAMS_PER_CONNECTION", whose, key, 0.0)
            return TurnAwayCause.STREAMS, delay_ms
        if key is None:
            return None
        if self._limits.is_full(key):
            delay_ms = self._refuse("STREAMY_MAX_CONNECTIONS_PER_KEY_TOTAL", key, key, 0.0)
            return TurnAwayCause.KEY, delay_ms
        with self._lock:
            early = self._opens.open(key)
        if not early:
            return None
        return TurnAwayCause.OPENS, self._refuse("STREAMY_MAX_OPENS_PER_MINUTE", key, key, early)

    def __len__(self) -> int:
        """How much it keeps of keys: never more than twice `MOST_KEYS`."""
        return len(self._opens) + len(self._waits)

    def _refuse(self, limit: str, whose: str, key: str | None, least: float) -> int:
        with self._lock:
            seconds = self._waits.next(whose)
        if count := self._tally.count(limit):
            whom = "without a key" if key is None else f"of the key {key!r:.100}"
            logger.warning(
                "clients beyond %s are told to come back: %d since it was last said, one %s",
                limit,
                count,
                whom,
            )
        return min(MAX_RETRY_MS, round(1000 * max(seconds, least)))
