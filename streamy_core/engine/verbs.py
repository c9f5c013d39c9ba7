"""The verbs that publish, of a StreamManager and of an engine alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ..commands import check_key, disconnect_command
from ..errors import InvalidEvent
from ..events import CONTROL, Event, check_stream_id
from .making import check_idempotency_key
from .outbox import Outbox
from .publisher import Publisher
from .streams import StreamIds, any_names_of

_ONE: Final[tuple[type, ...]] = (str, bytes, bytearray, Mapping)
"""What can be iterated, and is one event all the same."""


class PublishingVerbs(ABC):
    """See the module. Any thread."""

    @abstractmethod
    def _publishing(self) -> tuple[Publisher, Outbox]:
        """What publishes at once, and what publishes soon."""

    def send_event(
        self,
        stream_id: str,
        data: Any,
        event_name: str | None = None,
        *,
        retry: int | None = None,
        expires: float | None = None,
        meta: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        session: Any = None,
    ) -> str:
        """Publish one event and return its entry's id, once the broker has stored it.

        data:  text goes as it is, anything else as the app's JSON.
        retry: how long browsers are to wait before they reconnect, from now on, in milliseconds.
        expires: for how many seconds the event is of use, as of a sound, or of somebody typing. Who is there
               gets it; who comes later than that doesn't, and isn't told of a gap. 0: only who is there.
        meta: texts by their names that are kept with the entry, and sent to no client: see `Event`.
        idempotency_key: repeating a call with the same key stores nothing more. At most 255 characters.
        session: a SQLAlchemy Session or Connection, for a broker that keeps streams in its database:
               the event is part of its transaction. Clients get it once that commits, and never
               if it rolls back. Others that publish to the stream wait until then.

        Raises InvalidStreamId or InvalidEvent, and then nothing is stored; StreamEnded;
        PublishFailed when the retry policy has given up, with `session` at the first fault, after
        which that has to be rolled back; ConfigError if the broker can't publish by a session.
        """
        publisher, _ = self._publishing()
        events = [publisher.event(data, event_name, retry, expires, meta)]
        return publisher.publish(check_stream_id(stream_id), events, idempotency_key, session)[0]

    def send_events(
        self,
        stream_id: str,
        events: Iterable[Any],
        *,
        idempotency_key: str | None = None,
        session: Any = None,
    ) -> list[str]:
        """Publish many events in one round trip, all or none, and return their ids.

        events: each an `Event`, or data as for `send_event`.

        Raises as `send_event`.
        """
        if isinstance(events, _ONE):
            kind = type(events).__name__
            raise InvalidEvent(f"events is an iterable of events, not one {kind}: use send_event for that")
        publisher, _ = self._publishing()
        checked = [
            publisher.check(event) if isinstance(event, Event) else publisher.event(event) for event in events
        ]
        name = check_stream_id(stream_id)
        return publisher.publish(name, checked, idempotency_key, session) if checked else []

    def send_soon(
        self,
        stream_id: str,
        data: Any,
        event_name: str | None = None,
        *,
        retry: int | None = None,
        expires: float | None = None,
        meta: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Publish one event without waiting for the broker: it is queued, and a thread publishes it.

        Arguments as for `send_event`. The event is made now: what becomes of `data` later changes nothing.

        A stream's events stay in order, each is stored once, and one stream that fails holds no other. An
        event is lost only if the queue is full (`STREAMY_OUTBOX_EVENTS`, `STREAMY_OUTBOX_BYTES`), if trying
        again is given up (`STREAMY_OUTBOX_RETRY_POLICY`), if the broker refuses it or if its stream has
        ended. That is logged, counted in `health.dropped` and told by `Observer.dropped`. `close` and the
        interpreter's exit publish what waits, for `STREAMY_OUTBOX_FLUSH_TIMEOUT` seconds at most; a process
        that a signal kills, or that ends by `os._exit` as `multiprocessing`'s do, loses it.

        Raises InvalidStreamId or InvalidEvent, and then nothing is queued; Closed.
        """
        key = None if idempotency_key is None else check_idempotency_key(idempotency_key)
        publisher, outbox = self._publishing()
        event = publisher.event(data, event_name, retry, expires, meta)
        outbox.put(check_stream_id(stream_id), event, key)

    def broadcast(
        self,
        stream_ids: StreamIds,
        data: Any,
        event_name: str | None = None,
        *,
        retry: int | None = None,
        expires: float | None = None,
        meta: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        session: Any = None,
    ) -> Mapping[str, str]:
        """Publish one event to many streams, and return its entries' ids by stream, once all are stored.

        stream_ids: each once, however many there are. A thousand at a time cost one round trip (Redis: one
                    to each node), and on a database one transaction, which stores all of them or none.
        idempotency_key: for each stream by itself. Other arguments as for `send_event`.

        Streams that have ended are left out, and the result has no id of theirs.

        Raises InvalidStreamId or InvalidEvent, and then nothing is stored; PublishFailed when the retry
        policy has given up, whose `stored` says which streams have the event; ConfigError.
        """
        publisher, _ = self._publishing()
        event = publisher.event(data, event_name, retry, expires, meta)
        return publisher.broadcast(any_names_of(stream_ids), event, idempotency_key, session)

    def end_stream(self, stream_id: str, *, session: Any = None) -> None:
        """End a stream for good: its clients get what is left, `streamy.end`, and the close.

        session: as for `send_event`: the stream ends when that transaction commits, and goes on if it
                 rolls back.

        Ending twice does nothing. Raises InvalidStreamId; PublishFailed when the policy has given up, with
        `session` at the first fault; ConfigError if the broker can't end a stream by a session.
        """
        publisher, _ = self._publishing()
        publisher.end(check_stream_id(stream_id), session)

    def disconnect(self, *, stream_id: str | None = None, key: str | int | None = None) -> None:
        """Disconnect clients now, in every process: a browser asks again, and you can say no.

        stream_id: those that read this stream; key: those of this `get_stream(key=…)`; given both,
        those to whom both apply.

        Raises ValueError if neither is given; InvalidStreamId, InvalidKey; PublishFailed when the retry
        policy has given up.
        """
        if stream_id is None and key is None:
            raise ValueError("disconnect whom? name a stream_id, a key, or both")
        name = None if stream_id is None else check_stream_id(stream_id)
        whose = None if key is None else check_key(key)
        publisher, _ = self._publishing()
        publisher.publish(CONTROL, [disconnect_command(name, whose)])
