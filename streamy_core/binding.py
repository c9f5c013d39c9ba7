"""What one manager holds for one app: settings, engine, delivery. Closed by the manager."""

from __future__ import annotations

import json
import logging
import math
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from .broker import Broker
from .config import Settings
from .delivery.service import DeliveryService
from .delivery.session import Expiry, Session
from .engine.byte_reader import ByteReader
from .engine.engine import Engine
from .engine.hub import Health
from .engine.opener import Opener
from .engine.streams import wanted_of
from .errors import BrokerUnavailable
from .observers import Observers
from .observers.logs import Logs
from .observers.signals import Signals
from .strategies.keepalive import KeepAliveScheduler

logger: Final = logging.getLogger("streamy.manager")

HOW_TO_SHARE: Final = (
    "set STREAMY_BROKER_URL to a shared backend, like redis://localhost:6379, or "
    "sqlite:////path/to/streams.db: a file is enough for processes on one machine"
)

_AGE_SPREAD: Final = 0.2

_LOGGED_EVERY: Final = 1.0
"""Seconds between two lines about clients that are told to come back later: it may be thousands."""


class Binding:
    """See the module. Any thread.

    sender: whom signals come from.
    broker: one to use instead of making one; it is not closed with the binding.
    dumps:  makes JSON text of what isn't text; the standard library's unless given.
    """

    def __init__(
        self,
        sender: object,
        settings: Settings,
        broker: Broker | None = None,
        dumps: Callable[..., str] = json.dumps,
    ) -> None:
        self.sender = sender
        self.settings = settings
        observer = Observers((Logs(), Signals(sender), *settings.observers))
        self.engine: Engine = Engine(settings, broker=broker, observer=observer, dumps=dumps)
        self.delivery: DeliveryService = DeliveryService(self.engine.hub, settings, observer)
        self._opener = Opener()
        self._warned = False
        self._lock = threading.Lock()
        self._postponed = 0
        self._logged_at = -math.inf
        self.warn_if_split(_several_workers(os.environ))

    @property
    def broker(self) -> Broker:
        """The broker in use."""
        return self.engine.broker

    @property
    def health(self) -> Health:
        """How reading and delivering is doing in this process."""
        return replace(self.engine.hub.health, clients=len(self.delivery))

    def open_reader(
        self, names: list[str], after: str | None, event_name: str, capacity: int | None = None
    ) -> ByteReader:
        """A reader for a client. Blocks, but not for long; raises BrokerUnavailable.

        capacity: how many requests the server serves at once; None: any number, or nobody knows.
        """
        opening = partial(
            ByteReader.open_for_client,
            self.engine.hub,
            wanted_of(names, after),
            default_name=event_name,
            retry=self.retry_ms,
        )
        # What can't lose a reply is in this process, and has nobody wait.
        return self._opener.run(opening, capacity) if self.broker.loses_replies else opening()

    def session(
        self,
        names: list[str],
        key: str | None,
        keep_alive: KeepAliveScheduler,
        requested_at: float | None = None,
    ) -> Session:
        """The session of a client that connects now.

        requested_at: when its request began, by `time.monotonic`; None: now.
        """
        age = self.settings.max_connection_age
        expiry = None if age is None else Expiry(age * (1 - _AGE_SPREAD * random.random()))
        since = time.monotonic() if requested_at is None else requested_at
        return Session(tuple(names), key, keep_alive, expiry, since)

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

    def postponed(self, names: list[str], error: BrokerUnavailable) -> None:
        """A client of these streams is told to come back later; one line a second says of how many."""
        now = time.monotonic()
        with self._lock:
            self._postponed += 1
            if now - self._logged_at < _LOGGED_EVERY:
                return
            count, self._postponed, self._logged_at = self._postponed, 0, now
        logger.warning(
            "clients that are told to come back later: %d since it was last said, one of %s: %s",
            count,
            names,
            error,
        )

    def close(self) -> None:
        """Disconnect all clients and close the broker, unless that was given. Closing twice does nothing."""
        self.delivery.close()
        self._opener.close()
        self.engine.close()


def _several_workers(environ: Mapping[str, str]) -> bool:
    """Whether `WEB_CONCURRENCY`, which gunicorn and others go by, asks for more than one worker."""
    workers = environ.get("WEB_CONCURRENCY", "")
    return workers.isdecimal() and int(workers) > 1
