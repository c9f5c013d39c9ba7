"""What one manager holds for one app: settings, broker, hub, publisher. Closed by the manager."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from .broker import Broker
from .config import Settings
from .delivery.choice import Delivery
from .engine.hub import Hub
from .engine.publisher import Publisher
from .engine.window import Frame, WindowLimits
from .events import END
from .ids import join_cursors
from .plugins import open_broker
from .signals import emit, gap, stream_ended

logger = logging.getLogger("streamy")

HOW_TO_SHARE: Final = (
    "set STREAMY_BROKER_URL to a shared backend, like redis://localhost:6379, or "
    "sqlite:////path/to/streams.db: a file is enough for processes on one machine"
)


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
        given = broker if broker is not None else settings.broker_url
        self._owns_broker = isinstance(given, str)
        self.broker = open_broker(given, settings.broker_options) if isinstance(given, str) else given
        self.hub = Hub(
            self.broker,
            retry=settings.retry,
            window=WindowLimits(settings.window_entries, settings.window_bytes),
            watchdog=settings.watchdog_interval,
            notice=partial(self._notice, sender),
        )
        self.delivery = Delivery(self.hub, settings, partial(emit, sender=sender))
        self.publisher = Publisher(
            self.broker,
            retry=settings.retry,
            dumps=dumps,
            max_bytes=settings.max_event_bytes,
            end_on_failure=settings.end_stream_on_failure,
        )
        self._warned = False
        self.warn_if_split(_several_workers(os.environ))

    def warn_if_split(self, multiprocess: bool) -> None:
        """Say once, loudly, if several processes serve the app but the broker lives in each of them."""
        if multiprocess and not self.broker.shared and not self._warned:
            self._warned = True
            logger.warning(
                "EVENTS WILL BE LOST: several worker processes serve this app, but its broker keeps "
                "streams in the memory of one process, so clients of the other workers see nothing. "
                f"Run one worker process with threads, or {HOW_TO_SHARE}."
            )

    def cursor(self, stream_ids: Iterable[str]) -> str:
        """The place "from now on" in these streams. Raises BrokerUnavailable."""
        return join_cursors(self.broker.tail(list(stream_ids)))

    def close(self) -> None:
        """Send all clients away and close the broker, unless that was given. Closing twice does nothing."""
        self.delivery.close()
        self.hub.close()
        if self._owns_broker:
            self.broker.close()

    @staticmethod
    def _notice(sender: object, frame: Frame) -> None:
        entry = frame.entry
        if entry.event.name == END:
            emit(stream_ended, sender=sender, stream_id=entry.stream_id)
        else:
            news = json.loads(entry.event.data)
            emit(gap, sender=sender, stream_id=entry.stream_id, cursor=news["from"], goes_on=news["to"])


def _several_workers(environ: Mapping[str, str]) -> bool:
    """Whether `WEB_CONCURRENCY`, which gunicorn and others go by, asks for more than one worker."""
    workers = environ.get("WEB_CONCURRENCY", "")
    return workers.isdecimal() and int(workers) > 1
