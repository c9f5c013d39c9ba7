"""The verbs, without any web framework: one broker, what reads it here, and what publishes to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..broker import Broker
from ..closeable import Closeable
from ..commands import check_key, disconnect_command
from ..config import Settings
from ..errors import InvalidEvent
from ..events import CONTROL, Event, History, check_stream_id
from ..exact import exact_whole
from ..ids import OLDEST, join_cursors, sequence_of
from ..observers import Observer
from ..plugins import open_broker
from ..starts import Start, check_cursor, check_start
from .earlier import MAX_HISTORY, history, wanted_of
from .hub import Hub
from .log import Log
from .outbox import Outbox
from .publisher import Publisher, check_idempotency_key
from .reader import Reader
from .streams import StreamIds, names_of
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
            sleep=settings.clock.sleep,
        )
        self.outbox: Outbox = Outbox(
            self.publisher,
            retry=settings.outbox_retry,
            max_events=settings.outbox_events,
            max_bytes=settings.outbox_bytes,
            flush_timeout=settings.outbox_flush_timeout,
            observer=observer,
        )

    def send_event(
        self,
        stream_id: str,
        data: Any,
        event_name: str | None = None,
        retry: int | None = None,
        expires: float | None = None,
        idempotency_key: str | None = None,
        session: Any = None,
    ) -> str:
        """As `StreamManager.send_event`."""
        events = [self.publisher.event(data, event_name, retry, expires)]
        return self.publisher.publish(check_stream_id(stream_id), events, idempotency_key, session)[0]

    def send_soon(
        self,
        stream_id: str,
        data: Any,
        event_name: str | None = None,
        retry: int | None = None,
        expires: float | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """As `StreamManager.send_soon`."""
        key = None if idempotency_key is None else check_idempotency_key(idempotency_key)
        event = self.publisher.event(data, event_name, retry, expires)
        self.outbox.put(check_stream_id(stream_id), event, key)

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
        name = check_stream_id(stream_id)
        return self.publisher.publish(name, checked, idempotency_key, session) if checked else []

    def end_stream(self, stream_id: str) -> None:
        """As `StreamManager.end_stream`."""
        self.publisher.end(check_stream_id(stream_id))

    def disconnect(self, *, stream_id: str | None = None, key: str | int | None = None) -> None:
        """As `StreamManager.disconnect`."""
        if stream_id is None and key is None:
            raise ValueError("disconnect whom? name a stream_id, a key, or both")
        name = None if stream_id is None else check_stream_id(stream_id)
        whose = None if key is None else check_key(key)
        self.publisher.publish(CONTROL, [disconnect_command(name, whose)])

    def cursor(self, stream_ids: StreamIds) -> str:
        """As `StreamManager.cursor`."""
        return join_cursors(self.hub.log.tail(names_of(stream_ids)))

    def exists(self, stream_id: str) -> bool:
        """As `StreamManager.exists`."""
        name = check_stream_id(stream_id)
        frames, page = self.hub.log.read({name: OLDEST}, max_bytes=1)[name]
        return bool(frames or page.ended or sequence_of(page.cursor))

    def history(self, stream_id: str, limit: int = 50, before: str | None = None) -> History:
        """As `StreamManager.history`."""
        name = check_stream_id(stream_id)
        whole = exact_whole(limit)
        if whole is None or not 1 <= whole <= MAX_HISTORY:
            raise ValueError(f"limit is a whole number from 1 to {MAX_HISTORY}, not {limit!r:.100}")
        return history(self.hub.log, name, whole, None if before is None else check_cursor(before, "before"))

    def subscribe(self, stream_ids: StreamIds, after: Start | None = None) -> Subscription:
        """As `StreamManager.subscribe`."""
        start = None if after is None else check_start(after)
        wanted = wanted_of(self.hub.log, names_of(stream_ids), None, start)
        return Subscription(Reader.open(self.hub, wanted), retry=self._retry)

    def close(self) -> None:
        """Flush the outbox, end all subscriptions, and close the broker, unless it was given.

        Closing twice does nothing.
        """
        self.outbox.close()
        self.hub.close()
        if self._owns_broker:
            self.broker.close()
