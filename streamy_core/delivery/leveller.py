"""A worker that has far more clients than its siblings lets some go early: they come back to any of them.

The clients of a worker that dies are the others' by the time that its successor listens. Nothing would
move them back, since streams stay.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

FEWEST: Final = 300
"""Clients of a worker below which nobody is let go: so few are no burden anywhere."""

_FAR: Final = 1.5
_NEAR: Final = 1.25
"""How many times its share a worker has when it begins, and when it stops."""

_A_SECOND: Final = 0.01
"""Of its clients."""

_LASTS: Final = 15.0
"""Seconds for which it has to be so: a worker that has just started may be filling up already."""

_RESTS: Final = 300.0
"""Seconds from the end of one round to the next, so that clients who come back to where they were aren't
sent away for ever."""

_LOOKS_EVERY: Final = 5.0

logger: Final = logging.getLogger("streamy.delivery")


class Level:
    """How many clients are to be let go now. A round lets go of no more than there were at its start."""

    def __init__(self) -> None:
        self._far_since: float | None = None
        self._left: int = 0
        self._rests_until: float = -math.inf

    @property
    def in_round(self) -> bool:
        """Whether some are being let go."""
        return self._left > 0

    def due(self, clients: int, held: Sequence[int], now: float) -> int:
        """To be asked once a second while some are let go.

        clients: of this worker.
        held:    what each worker has, this one's first: anything that grows with clients.
        now:     in seconds.
        """
        own, share = held[0], sum(held) / len(held)
        if clients < FEWEST or own <= (_NEAR if self.in_round else _FAR) * share:
            if self.in_round:
                self._rest(now)
            self._far_since = None
            return 0
        if not self.in_round and not self._begins(clients, now):
            return 0
        count = min(math.ceil(clients * _A_SECOND), math.ceil(own - _NEAR * share), self._left)
        self._left -= count
        if not self._left:
            self._rest(now)
        return count

    def _begins(self, clients: int, now: float) -> bool:
        if self._far_since is None:
            self._far_since = now
        if now < self._rests_until or now - self._far_since < _LASTS:
            return False
        self._left = clients
        return True

    def _rest(self, now: float) -> None:
        self._left = 0
        self._rests_until = now + _RESTS


class Leveller:
    """Looks now and then, on a thread of its own, until it is closed.

    clients: how many this process has.
    held:    as `Level.due` takes it; None: it can't be told, and then nobody is let go.
    let_go:  tells so many clients to come back.
    """

    def __init__(
        self,
        clients: Callable[[], int],
        held: Callable[[], Sequence[int] | None],
        let_go: Callable[[int], None],
    ) -> None:
        self._clients = clients
        self._held = held
        self._let_go = let_go
        self._level = Level()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streamy-leveller", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let nobody go any more. Closing twice does nothing."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(1.0 if self._level.in_round else _LOOKS_EVERY):
            try:
                self._look()
            except Exception:
                logger.exception("clients are not moved to other workers any more")
                return

    def _look(self) -> None:
        clients = self._clients()
        held = self._held() if clients >= FEWEST else None
        if not held:
            return
        began = not self._level.in_round
        count = self._level.due(clients, held, time.monotonic())
        if count and not self._over.is_set():
            if began:
                logger.info(
                    "this worker has %d clients, far more than its share: it lets some go early", clients
                )
            self._let_go(count)
