"""Whether this process is ready for clients, and whether only a restart would make it so."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Final

from .delivery.servers import Server
from .delivery.service import DeliveryService
from .engine.canary import Canary
from .engine.engine import Engine
from .engine.health import Part, Trouble
from .engine.hub import Hub

STALLS: Final = 2.0
"""Seconds for which a thread may be busy before that is trouble."""

LASTS: Final = 60.0
"""Seconds after which trouble that passes by itself would have passed."""

STARTS_WITHIN: Final = 1.0
"""Seconds for which the first to ask wait until something is known."""

logger: Final = logging.getLogger("streamy.health")


class Checkup:
    """What `/ready` and `/live` say of one manager in this process. Any thread.

    Nothing is asked of the broker here: the canary does that, on its thread, from the first question on. A
    forked process has a canary of its own.
    """

    def __init__(self, engine: Engine, delivery: DeliveryService) -> None:
        self._hub: Hub = engine.hub
        self._canary: Canary = engine.canary
        self._delivery = delivery
        self._canary.on_beat = self._note
        self._told: frozenset[Part] = frozenset()
        self._stopping: tuple[int, Callable[[], bool] | None] = (0, None)

    def ready(self, server: Server) -> list[Trouble]:
        """What is wrong now; nothing, if clients are served well. Waits only for what begins just now.

        server: the one that asks, which may be about to stop.
        """
        if self._hub.closed or self._stops(server):
            return [Trouble(Part.STOPPING, 0.0)]
        self._canary.start()
        self._canary.wait_until_known(STARTS_WITHIN)
        return self.known()

    def live(self) -> list[Trouble]:
        """What is wrong, and has been for a minute, and isn't mended but by a restart.

        So a broker that is away is no reason, nor a hub that waits for one.
        """
        if self._hub.closed:
            return []
        self._canary.start()
        found = [trouble for trouble in (self._loop(), self._stuck_hub()) if trouble is not None]
        broker = self._canary.trips.broker(self._canary.now)
        return [
            trouble
            for trouble in found
            if trouble.seconds >= LASTS and (trouble.what is Part.LOOP or broker is None)
        ]

    def known(self) -> list[Trouble]:
        """What is wrong, as far as it is known already: nothing begins by this."""
        if self._hub.closed:
            return [Trouble(Part.STOPPING, 0.0)]
        now, trips = self._canary.now, self._canary.trips
        asked = [trips.broker(now), self._stuck_hub() or self._failing_hub()]
        if asked == [None, None]:
            asked.append(
                trips.bell(now) or self._stuck_canary()
            )  # else it is for these that nothing was heard
        found = [trouble for trouble in (*asked, self._loop()) if trouble is not None]
        if not found and self._canary.running and not trips.known(now):
            return [Trouble(Part.STARTING, now - self._canary.started_at)]
        return found

    def _stuck_hub(self) -> Trouble | None:
        return _stalled(Part.HUB, self._hub.stuck_for, "the hub's thread doesn't come round")

    def _stuck_canary(self) -> Trouble | None:
        return _stalled(Part.BELL, self._canary.stuck_for, "nobody listens: does an observer block?")

    def _failing_hub(self) -> Trouble | None:
        seconds = self._hub.failing_for
        return Trouble(Part.HUB, seconds, self._hub.last_failure or "") if seconds else None

    def _loop(self) -> Trouble | None:
        return _stalled(Part.LOOP, self._delivery.stuck_for(), "the event loop doesn't turn")

    def _stops(self, server: Server) -> bool:
        """Whether the server was told to stop. It is looked up once, since that may take a while."""
        pid, stopping = self._stopping
        if pid != os.getpid():
            stopping = server.stopping()
            self._stopping = os.getpid(), stopping
        return stopping is not None and stopping()

    def _note(self) -> None:
        """Write what changes to the log. For the canary's thread."""
        found = {trouble.what: trouble for trouble in self.known()}
        if found.keys() & {Part.STARTING, Part.STOPPING} or found.keys() == self._told:
            return
        self._told = frozenset(found)
        if found:
            what = "; ".join(f"{what}: {trouble.detail}" for what, trouble in found.items())
            logger.warning("this process isn't ready: %s", what)
        else:
            logger.info("this process is ready again")


def _stalled(what: Part, seconds: float, detail: str) -> Trouble | None:
    return Trouble(what, seconds, detail) if seconds >= STALLS else None
