"""The verbs, without any web framework: one broker, what reads it here, and what publishes to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..broker import Broker
from ..closeable import Closeable
from ..commands import disconnect_command
from ..config import Settings
from ..errors import InvalidEvent
from ..events import CONTROL, Event, check_stream_id
from ..ids import join_cursors
from ..observers import Observer
from ..plugins import open_broker
from .hub import Hub
from .log import Log
from .publisher import Publisher
from .reader import Reader
from .streams import StreamIds, names_of, wanted_of
from .subscription import Subscription
from .window import WindowLimits

_ONE: Final[tuple[type, ...]] = (str, bytes, bytearray, Mapping)
"""What can be iterated, and is one event all the same."""


class Engine(Closeable):
    """See the module. Any thread. Connects to nothing that the broker can do without.

    settings: say which broker, unless one is given.
    broker:   one that stays the giver's to close.
    observer: told what happens.
    dumps:    makes JSON text of what isn't text.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        broker: Broker | None = None,
        observer: Observer | None = None,
        dumps: Callable[..., str] = json.dumps,
    ) -> None:
        given = broker if broker is not None else settings.broker_url
        self._owns_broker = isinstance(given, str)
        self._retry = settings.retry
        self.broker: Broker = open_broker(given, settings.broker_options) if isinstance(given, str) else given
        observer = observer or Observer()
        self.hub: Hub = Hub(
            Log(self.broker, observer),
            retry=settings.retry,
            window=WindowLimits(settings.window_entries, settings.window_bytes),
            watchdog=settings.watchdog_interval,
            observer=observer,
        )
        self.publisher: Publisher = Publisher(
            self.broker,
            retry=settings.retry,
            dumps=dumps,
            max_bytes=settings.max_event_bytes,
            end_on_failure=settings.end_stream_on_failure,
            observer=observer,
        )

    def send_event(
        self,
        stream_id: str,
        data: Any,
        event_name: str | None = None,
        retry: int | None = None,
        idempotency_key: str | None = None,
        session: Any = None,
    ) -> str:
        """As `StreamManager.send_event`."""
        events = [self.publisher.event(data, event_name, retry)]
        return self.publisher.publish(check_stream_id(stream_id), events, idempotency_key, session)[0]

    def send_events(
        self,
        stream_id: str,
        events: Iterable[Any],
        *,
        idempotency_key: str | None = None,
        session: Any = None,
    ) -> list[str]:
        """As `StreamManager.send_events`."""
        if isinstance(events, _ONE):
            kind = type(events).__name__
            raise InvalidEvent(f"events is an iterable of events, not one {kind}: use send_event for that")
        checked = [
            self.publisher.check(event) if isinstance(event, Event) else self.publisher.event(event)
            for event in events
        ]
        check_stream_id(stream_id)
        return self.publisher.publish(stream_id, checked, idempotency_key, session) if checked else []

    def end_stream(self, stream_id: str) -> None:
        """As `StreamManager.end_stream`."""
        self.publisher.end(check_stream_id(stream_id))

    def disconnect(self, *, stream_id: str | None = None, key: str | None = None) -> None:
        """As `StreamManager.disconnect`."""
        if stream_id is None and key is None:
            raise ValueError("disconnect whom? name a stream_id, a key, or both")
        self.publisher.publish(CONTROL, [disconnect_command(stream_id, key)])

    def cursor(self, stream_ids: StreamIds) -> str:
        """As `StreamManager.cursor`."""
        return join_cursors(self.hub.log.tail(names_of(stream_ids)))

    def subscribe(self, stream_ids: StreamIds, after: str | None = None) -> Subscription:
        """As `StreamManager.subscribe`."""
        wanted = wanted_of(names_of(stream_ids), after)
        return Subscription(Reader.open(self.hub, wanted), retry=self._retry)

    def close(self) -> None:
        """End all subscriptions, and close the broker, unless it was given. Closing twice does nothing."""
        self.hub.close()
        if self._owns_broker:
            self.broker.close()
