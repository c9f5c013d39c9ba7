"""The verbs, without any web framework: one broker, what reads it here, and what publishes to it."""

from __future__ import annotations

import json
from collections.abc import Callable

from ..broker import Broker, KeepsMeta
from ..closeable import Closeable
from ..config import Settings
from ..events import History, check_stream_id
from ..exact import exact_whole
from ..ids import OLDEST, join_cursors, sequence_of
from ..observers import Observer
from ..plugins import open_broker
from ..starts import Start, check_cursor, check_start
from .canary import Canary
from .earlier import MAX_HISTORY, history, wanted_of
from .hub import Hub
from .log import Log
from .outbox import Outbox
from .publisher import Publisher
from .reader import Reader
from .streams import StreamIds, names_of
from .subscription import Subscription
from .traces import Traces
from .verbs import PublishingVerbs
from .window import WindowLimits


class Engine(PublishingVerbs, Closeable):
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
        self.owns_broker: bool = isinstance(given, str)
        self._retry = settings.retry
        self.broker: Broker = open_broker(given, settings.broker_options) if isinstance(given, str) else given
        observer = observer or Observer()
        self._traces = None
        if settings.traces is not None:
            kept = isinstance(self.broker, KeepsMeta)
            self._traces = Traces(settings.traces, settings.stream_group, kept=kept)
        self.hub: Hub = Hub(
            Log(self.broker, observer, self._traces),
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
            traces=self._traces,
        )
        self.outbox: Outbox = Outbox(
            self.publisher,
            retry=settings.outbox_retry,
            max_events=settings.outbox_events,
            max_bytes=settings.outbox_bytes,
            flush_timeout=settings.outbox_flush_timeout,
            observer=observer,
            traces=self._traces,
        )

        self.canary: Canary = Canary(
            self.hub,
            self.publisher.tell,
            interval=settings.canary_interval,
            rings_within=self.broker.rings_within,
            observer=observer,
        )

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

    def _publishing(self) -> tuple[Publisher, Outbox]:
        return self.publisher, self.outbox

    def close(self) -> None:
        """Flush the outbox, end all subscriptions, and close the broker, unless it was given.

        Closing twice does nothing.
        """
        self.outbox.close()
        self.canary.close()
        self.hub.close()
        if self._traces is not None:
            self._traces.close()
        if self.owns_broker:
            self.broker.close()
