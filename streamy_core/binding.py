"""What one manager holds for one app: settings, engine, delivery. Closed by the manager."""

from __future__ import annotations

import json
import logging
import os
import random
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from flask import Flask

from .broker import Broker
from .config import Settings
from .delivery.service import DeliveryService
from .delivery.session import Expiry, Session
from .engine.byte_reader import ByteReader
from .engine.engine import Engine
from .engine.floors import wanted_within
from .engine.frames import Framing
from .engine.health import Health
from .engine.opener import Opener
from .engine.streams import StreamIds
from .engine.subscription import Subscription
from .errors import BrokerUnavailable
from .health import Checkup
from .measuring import metrics_of, numbers_of
from .observers import Beginning, Observers, TurnAwayCause
from .observers.logs import Logs
from .observers.signals import Signals
from .overview.busiest import Busiest
from .overview.kept import Kept
from .overview.reporting import Reporting
from .overview.summarizing import Summarizer
from .runs.service import Runs
from .starts import Floor, Start
from .strategies.keepalive import KeepAliveScheduler, longest_silence
from .tally import LOGGED_EVERY, Tally

logger: Final = logging.getLogger("streamy.manager")

HOW_TO_SHARE: Final = (
    "set STREAMY_BROKER_URL to a shared backend, like redis://localhost:6379, or "
    "sqlite:////path/to/streams.db: a file is enough for processes on one machine"
)

_SPREAD: Final = 0.2
"""By up to this part of their time clients are disconnected earlier: not all that came at once, at once."""

_AHEAD: Final = 0.02
"""By this part of its time at least a right's connection ends before the right: ending many takes a while."""

_PASSES_EVERY: Final = 1.0
"""Seconds between two lines about what passes by itself: it may be about thousands of clients."""


class Binding:
    """See the module. Any thread.

    sender: whom signals come from.
    broker: one to use instead of making one; it is not closed with the binding.
    dumps:  makes JSON text of what isn't text; the standard library's unless given.
    name:   the manager's, in metrics.
    app:    lives at least as long as this. Nothing that runs on a thread holds either.
    """

    def __init__(
        self,
        sender: object,
        settings: Settings,
        broker: Broker | None = None,
        dumps: Callable[..., str] = json.dumps,
        *,
        app: Flask | None = None,
        name: str = "default",
    ) -> None:
        self.sender = sender
        self.settings = settings
        kept = None if settings.overview is None else Kept()
        self._metrics = metrics_of(settings, name, kept)
        busiest = None if kept is None or self._metrics is None else Busiest(self._metrics.groups.of)
        own = tuple(one for one in (self._metrics, busiest) if one is not None)
        self._observer = observer = Observers((Logs(), Signals(sender), *own, *settings.observers))
        self.engine: Engine = Engine(settings, broker=broker, observer=observer, dumps=dumps)
        tell = self.engine.publisher.tell if self.broker.shared else None
        self.delivery: DeliveryService = DeliveryService(self.engine.hub, settings, observer, tell)
        self.runs: Runs = Runs(self.engine, settings, observer, _grace_of(app, settings.run_grace))
        self.delivery.accompany(self.runs.follow, self.runs.shut_down)
        self.checkup: Checkup = Checkup(self.engine, self.delivery)
        if self._metrics is not None:
            self._metrics.watch(numbers_of(self.engine, self.delivery, self.runs))
        self.reporting: Reporting | None = None
        if kept is not None and busiest is not None:
            summarizer = Summarizer(self.engine, self.delivery, self.checkup, self.runs, kept, busiest, name)
            self.reporting = Reporting(self.engine, summarizer, busiest)
        self._opener = Opener()
        self.app: Flask | None = app
        self.response_types: dict[type, Any] = {}  # of the app's response classes, made once
        self._warned = False
        self.tally: Tally = Tally()
        self.warn_if_split(_several_workers(os.environ))

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self.engine.hub.closed

    @property
    def has_published(self) -> bool:
        """Whether anything was published by this, or ended."""
        return self.engine.publisher.used

    @property
    def broker(self) -> Broker:
        """The broker in use."""
        return self.engine.broker

    def subscribe(self, stream_ids: StreamIds, after: Start | None) -> Subscription:
        """As `StreamManager.subscribe`. The app lives at least as long as the subscription."""
        subscription = self.engine.subscribe(stream_ids, after)
        subscription.owner = self
        return subscription

    @property
    def health(self) -> Health:
        """How reading and delivering is doing in this process."""
        outbox = self.engine.outbox
        return replace(
            self.engine.hub.health,
            clients=len(self.delivery),
            queued=outbox.queued,
            dropped=outbox.dropped,
            wrong=tuple(str(trouble.what) for trouble in self.checkup.known()),
            bell_seconds=self.engine.canary.last,
        )

    def open_reader(
        self,
        names: list[str],
        cursor: str | None,
        start: Start | None,
        framing: Framing,
        capacity: int | None = None,
        keep_alive: KeepAliveScheduler | None = None,
        *,
        floor: Floor | None = None,
        until: float | None = None,
    ) -> ByteReader:
        """A reader for a client. Blocks, but not for long; raises BrokerUnavailable.

        cursor:   what the client has brought. start: for streams that it has never read.
        capacity: how many requests the server serves at once; None: any number, or nobody knows.
        keep_alive: the client's, of which it is told.
        floor:    how far back it may read.
        until:    in how many seconds its right to read ends, of which it is told.
        """
        hub = self.engine.hub
        if self._metrics is not None:
            self.engine.canary.start()  # which tells how soon bells are heard

        def opening() -> ByteReader:
            wanted = wanted_within(hub.log, names, cursor, start, floor)
            return ByteReader.open_for_client(
                hub,
                wanted.cursors,
                wanted.bounds,
                framing=framing,
                retry=self.retry_ms,
                keep_alive=longest_silence(keep_alive),
                until=until,
            )

        # What can't lose a reply is in this process, and has nobody wait.
        return self._opener.run(opening, capacity) if self.broker.loses_replies else opening()

    def session(
        self,
        names: list[str],
        key: str | None,
        keep_alive: KeepAliveScheduler,
        requested_at: float | None = None,
        until: float | None = None,
        granted_at: float | None = None,
        began: Beginning = Beginning.LIVE,
    ) -> Session:
        """The session of a client that connects now.

        requested_at: when its request began, by `time.monotonic`; None: now.
        until: in how many seconds its right to read ends; None: nobody says.
        granted_at: when that right was given, in seconds since 1970; None: now.
        began: where in its streams it begins.
        """
        age = self.settings.max_connection_age
        times = [] if age is None else [age * (1 - _SPREAD * random.random())]
        if until is not None:
            times.append(until * (1 - _AHEAD - (_SPREAD - _AHEAD) * random.random()))
        expiry = Expiry(min(times)) if times else None
        since = time.monotonic() if requested_at is None else requested_at
        if granted_at is not None:
            granted_at += time.monotonic() - time.time()
        return Session(tuple(names), key, keep_alive, expiry, since, granted_at, began=began)

    @property
    def retry_ms(self) -> int:
        """How long clients are told to wait before they reconnect, in milliseconds."""
        return round(self.settings.reconnect_delay * 1000)

    def warn_if_split(self, multiprocess: bool) -> None:
        """Say once, loudly, if several processes serve the app but the broker lives in each of them."""
        if multiprocess and not self.broker.shared and not self._warned:
            self._warned = True
            logger.warning(
                "EVENTS WILL BE LOST: several worker processes serve this app, but its broker keeps "
                "streams in the memory of one process, so clients of the other workers see nothing. "
                f"Run one worker process with threads, or {HOW_TO_SHARE}."
            )

    def turned_away(self, names: Sequence[str], key: str | None, cause: TurnAwayCause) -> None:
        """A client is given nothing of these streams: observers are told."""
        self._observer.turned_away(tuple(names), key, cause)

    def postponed(self, names: list[str], error: Exception, key: str | None = None) -> None:
        """A client of these streams is told to come back later; a line now and then says of how many."""
        passes = isinstance(error, BrokerUnavailable)
        self.turned_away(names, key, TurnAwayCause.UNAVAILABLE if passes else TurnAwayCause.FAULT)
        count = self.tally.count(passes, _PASSES_EVERY if passes else LOGGED_EVERY)
        if count:
            logger.log(
                logging.WARNING if passes else logging.ERROR,
                "clients that are told to come back later: %d since it was last said, one of %s: %s",
                count,
                names,
                error,
            )

    def refused(self, reason: str) -> None:
        """A request for a stream is refused; a line now and then says of how many."""
        self.turned_away((), None, TurnAwayCause.GRANT)
        if count := self.tally.count(reason, _PASSES_EVERY):
            logger.warning("requests that are refused: %d since it was last said: %s", count, reason)

    def close(self) -> None:
        """Disconnect all clients and close the broker, unless that was given. Closing twice does nothing."""
        self.closing()()

    def closing(self) -> Callable[[], None]:
        """What closes all this, and keeps neither it nor the app alive."""
        reporting = () if self.reporting is None else (self.reporting.close,)
        metrics = () if self._metrics is None else (self._metrics.close,)
        closings = (self.delivery.close, self._opener.close, self.runs.close, self.engine.close)
        return partial(_close, *reporting, *closings, *metrics)


def _close(*closings: Callable[[], None]) -> None:
    for close in closings:
        close()


def _grace_of(app: Flask | None, seconds: float) -> Callable[[], float]:
    """For how long runs may go on when the process stops: whoever develops an app doesn't wait for them."""
    alive = None if app is None else weakref.ref(app)

    def grace() -> float:
        found = None if alive is None else alive()
        return 0.0 if found is not None and found.debug else seconds

    return grace


def _several_workers(environ: Mapping[str, str]) -> bool:
    """Whether `WEB_CONCURRENCY`, which gunicorn and others go by, asks for more than one worker."""
    workers = environ.get("WEB_CONCURRENCY", "")
    return workers.isdecimal() and int(workers) > 1
